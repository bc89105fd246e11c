// SPDX-License-Identifier: GPL-2.0

//! An interpreter of the programs that seccomp takes.

/// An instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    pub code: u16,
    pub if_true: u8,
    pub if_false: u8,
    pub k: u32,
}

// Classes, sizes and operations, as in <linux/bpf_common.h>.
const LD_W_ABS: u16 = 0x20;
const ALU_AND_K: u16 = 0x54;
const JMP_JA: u16 = 0x05;
const JMP_JEQ_K: u16 = 0x15;
const JMP_JGT_K: u16 = 0x25;
const JMP_JGE_K: u16 = 0x35;
const JMP_JSET_K: u16 = 0x45;
const RET_K: u16 = 0x06;

impl Instruction {
    pub fn new(code: u16, if_true: u8, if_false: u8, k: u32) -> Self {
        Self {
            code,
            if_true,
            if_false,
            k,
        }
    }

    pub fn load(offset: u32) -> Self {
        Self::new(LD_W_ABS, 0, 0, offset)
    }

    pub fn jump(by: u32) -> Self {
        Self::new(JMP_JA, 0, 0, by)
    }

    pub fn if_equal(k: u32, if_true: u8, if_false: u8) -> Self {
        Self::new(JMP_JEQ_K, if_true, if_false, k)
    }

    pub fn if_greater(k: u32, if_true: u8, if_false: u8) -> Self {
        Self::new(JMP_JGT_K, if_true, if_false, k)
    }

    pub fn if_set(k: u32, if_true: u8, if_false: u8) -> Self {
        Self::new(JMP_JSET_K, if_true, if_false, k)
    }

    pub fn end(value: u32) -> Self {
        Self::new(RET_K, 0, 0, value)
    }
}

/// What a program knows of a call.
#[derive(Clone, Copy, Debug)]
pub struct Data {
    pub number: u32,
    pub arch: u32,
    pub arguments: [u64; 6],
}

impl Data {
    /// A word of `struct seccomp_data`. The address of the call is 0.
    fn word(&self, offset: u32) -> u32 {
        assert_eq!(offset % 4, 0);
        match offset {
            0 => self.number,
            4 => self.arch,
            8 | 12 => 0,
            _ => {
                let argument = self.arguments[((offset - 16) / 8) as usize];
                (argument >> (offset % 8 * 8)) as u32
            }
        }
    }
}

/// Runs a program, and says what it returns.
pub fn run(program: &[Instruction], data: &Data) -> u32 {
    let mut accumulator = 0_u32;
    let mut at = 0;
    loop {
        let Instruction {
            code,
            if_true,
            if_false,
            k,
        } = program[at];
        at += 1;
        let holds = match code {
            LD_W_ABS => {
                accumulator = data.word(k);
                continue;
            }
            ALU_AND_K => {
                accumulator &= k;
                continue;
            }
            JMP_JA => {
                at += k as usize;
                continue;
            }
            RET_K => return k,
            JMP_JEQ_K => accumulator == k,
            JMP_JGT_K => accumulator > k,
            JMP_JGE_K => accumulator >= k,
            JMP_JSET_K => accumulator & k != 0,
            _ => panic!("what is the instruction {code:#x}?"),
        };
        at += usize::from(if holds { if_true } else { if_false });
    }
}
