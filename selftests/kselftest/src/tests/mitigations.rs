// SPDX-License-Identifier: GPL-2.0

//! What the CPU needs done at each entry and exit is in the code of the 64-bit entry as it runs, on the fast
//! path's ways as well. What it does cannot be seen; that it is there can, unless it is only jumped over
//! elsewhere: page tables and IBRS are, and with the wrong ones nothing runs for long.

use crate::paths::fast_path_status;
use anyhow::{ensure, Context, Result};
use object::{
    elf::{FileHeader64, PT_LOAD},
    read::elf::{FileHeader, ProgramHeader},
    Endianness,
};
use std::{fs, io::Read, ops::Range, os::unix::fs::FileExt};

super::tests! {
    [Mitigations, FastPath] =>
        mitigations_are_in_the_entry_code;
}

/// The kernel's symbols and their addresses.
fn symbols() -> Result<Vec<(String, u64)>> {
    let symbols = fs::read_to_string("/proc/kallsyms")?;
    let symbol = |line: &str| {
        let mut words = line.split(' ');
        let address = u64::from_str_radix(words.next()?, 16).ok()?;
        Some((words.nth(1)?.to_string(), address))
    };
    Ok(symbols.lines().filter_map(symbol).collect())
}

fn address_of(name: &str) -> Result<u64> {
    let symbol = symbols()?.into_iter().find(|(symbol, _)| symbol == name);
    let address = symbol.with_context(|| format!("there is no {name}"))?.1;
    ensure!(address != 0, "{name} is hidden");
    Ok(address)
}

/// The kernel's memory, as it is now.
fn read_kernel(range: Range<u64>) -> Result<Vec<u8>> {
    let mut file = fs::File::open("/proc/kcore")?;
    let mut headers = vec![0; 8192];
    file.read_exact(&mut headers)?;
    let header = FileHeader64::<Endianness>::parse(&*headers)?;
    let endian = header.endian()?;
    for segment in header.program_headers(endian, &*headers)? {
        let start: u64 = segment.p_vaddr(endian);
        let size: u64 = segment.p_memsz(endian);
        if segment.p_type(endian) == PT_LOAD && range.start >= start && range.end - start <= size {
            let mut memory = vec![0; (range.end - range.start) as usize];
            file.read_exact_at(&mut memory, segment.p_offset(endian) + range.start - start)?;
            return Ok(memory);
        }
    }
    anyhow::bail!("{range:x?} is in no segment")
}

struct Code {
    start: u64,
    bytes: Vec<u8>,
}

impl Code {
    fn between(start: &str, end: &str) -> Result<Self> {
        Self::of(address_of(start)?..address_of(end)?)
    }

    /// From a symbol to the first that is behind another.
    fn beyond(start: &str, last: &str) -> Result<Self> {
        let last = address_of(last)?;
        let behind = symbols()?.into_iter().map(|(_, address)| address);
        let end = behind.filter(|address| *address > last).min();
        Self::of(address_of(start)?..end.context("no symbol")?)
    }

    fn of(range: Range<u64>) -> Result<Self> {
        Ok(Self {
            start: range.start,
            bytes: read_kernel(range)?,
        })
    }

    fn has(&self, instruction: &[u8]) -> bool {
        self.bytes
            .windows(instruction.len())
            .any(|w| w == instruction)
    }

    fn calls(&self, symbol: &str) -> Result<bool> {
        let target = address_of(symbol)?;
        Ok(self.bytes.windows(5).enumerate().any(|(i, w)| {
            let offset = i32::from_le_bytes([w[1], w[2], w[3], w[4]]);
            let next = self.start + i as u64 + 5;
            w[0] == 0xe8 && next.wrapping_add_signed(offset.into()) == target
        }))
    }
}

const VERW: [u8; 3] = [0x0f, 0x00, 0x2d];
const DIV_ECX: [u8; 2] = [0xf7, 0xf1];

fn mitigations_are_in_the_entry_code() -> Result<()> {
    let is = |vulnerability: &str, mitigation: &str| -> Result<bool> {
        let file = format!("/sys/devices/system/cpu/vulnerabilities/{vulnerability}");
        Ok(fs::read_to_string(file)?.contains(mitigation))
    };
    let built = fast_path_status()? != "not-built";
    let last = if built {
        "entry_SYSRETQ_fast_end"
    } else {
        "entry_SYSRETQ_end"
    };
    let all = Code::beyond("entry_SYSCALL_64", last)?;
    let mut exits = vec![(
        "C's",
        Code::between("entry_SYSRETQ_unsafe_stack", "entry_SYSRETQ_end")?,
    )];
    if built {
        let code = Code::between("entry_SYSRETQ_fast_unsafe_stack", "entry_SYSRETQ_fast_end")?;
        exits.push(("the fast", code));
    }

    let mut clears_buffers = false;
    for vulnerability in [
        "mds",
        "mmio_stale_data",
        "reg_file_data_sampling",
        "tsa",
        "tsx_async_abort",
    ] {
        clears_buffers |= is(vulnerability, "Clear CPU buffers")?;
    }
    for (exit, code) in exits {
        ensure!(
            code.has(&VERW) == clears_buffers,
            "VERW at {exit} exit: {}",
            !clears_buffers
        );
    }

    let untrains = is("retbleed", "Mitigation: untrained return thunk")?;
    ensure!(
        all.calls("entry_untrain_ret")? == untrains,
        "untraining: {}",
        !untrains
    );

    let clears_history = is("spectre_v2", "BHI: SW loop")?;
    ensure!(
        all.calls("clear_bhb_loop")? == clears_history,
        "branch history: {}",
        !clears_history
    );

    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let bugs = cpu
        .lines()
        .find(|line| line.starts_with("bugs"))
        .unwrap_or_default();
    let divides = built && bugs.split_whitespace().any(|bug| bug == "div0");
    ensure!(
        all.has(&DIV_ECX) == divides,
        "clearing the divider: {}",
        !divides
    );
    Ok(())
}
