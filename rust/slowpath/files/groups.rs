// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/config/slowpath/groups`, where the administrator makes groups.

use super::{
    input::{parse_switch, parse_tid, require_admin, value},
    knobs::Knobs,
    policies::Policies, //
};
use crate::{
    control::Control,
    group::{GroupData, Record, NR_BUCKETS, NR_CALLS}, //
};
use kernel::{
    configfs::{self, configfs_attrs, DefaultGroup},
    fmt::Write,
    page::PAGE_SIZE,
    prelude::*,
    str::Formatter,
    sync::Arc,
    syscall_slowpath::{Follow, Group, Whom}, //
};

/// As many bytes as a line of `members` can have.
const MEMBER_WIDTH: usize = 8;

/// How much `members` can show, which is a quarter of a million of tasks.
const MEMBERS_SIZE: usize = (1 << 18) * MEMBER_WIDTH;

/// The directory in which groups are made.
pub(super) struct GroupsDir {
    control: Arc<Control>,
    policies: Arc<Policies>,
}

impl GroupsDir {
    /// Makes it, for a subsystem to have.
    pub(super) fn default_group(
        control: Arc<Control>,
        policies: Arc<Policies>,
    ) -> Result<DefaultGroup> {
        let item_type = configfs_attrs! {
            container: configfs::Group<GroupsDir>,
            data: GroupsDir,
            child: GroupDir,
            attributes: [],
        };
        let dir = Self { control, policies };
        DefaultGroup::new(c"groups".try_into()?, item_type, Ok::<_, Error>(dir))
    }
}

/// A group's directory.
pub(super) struct GroupDir {
    group: Group<GroupData>,
    knobs: Knobs,
}

impl Drop for GroupDir {
    fn drop(&mut self) {
        // One that was removed is under none; one that could not be made may be.
        GroupData::end(&self.group);
    }
}

#[vtable]
impl configfs::GroupOperations for GroupsDir {
    type Child = GroupDir;

    fn make_group(&self, name: &CStr) -> Result<impl PinInit<configfs::Group<GroupDir>, Error>> {
        require_admin()?;
        if !name.to_bytes().iter().all(u8::is_ascii_graphic) {
            return Err(EINVAL);
        }
        let item_type = configfs_attrs! {
            container: configfs::Group<GroupDir>,
            data: GroupDir,
            attributes: [
                policy: 0,
                follow: 1,
                enabled: 2,
                exit_path: 3,
                join: 4,
                leave: 5,
                members: 6,
                stats: 7,
                calls: 8,
                latency: 9,
                count_exits: 10,
            ],
        };
        let group = self.control.group(name)?;
        let knobs = Knobs {
            name: name.try_into()?,
            group: group.shared().clone(),
            policies: self.policies.clone(),
        };
        Ok(configfs::Group::new(
            name.try_into()?,
            item_type,
            Ok::<_, Error>(GroupDir { group, knobs }),
        ))
    }

    /// Not with tasks in it, nor with cgroups.
    fn may_drop_item(&self, dir: &GroupDir) -> Result {
        require_admin()?;
        dir.group.close()?;
        GroupData::end(&dir.group);
        Ok(())
    }
}

/// What one of the functions of [`Knobs`] shows.
fn show(buffer: &mut [u8], show: impl FnOnce(&mut Formatter<'_>) -> Result) -> Result<usize> {
    let mut out = Formatter::new(buffer);
    show(&mut out)?;
    Ok(out.bytes_written())
}

#[vtable]
impl configfs::AttributeOperations<0> for GroupDir {
    type Data = Self;

    fn show(dir: &Self, page: &mut [u8; PAGE_SIZE]) -> Result<usize> {
        show(page, |out| dir.knobs.show_policy(out))
    }

    fn store(dir: &Self, text: &[u8]) -> Result {
        dir.knobs.store_policy(text)
    }
}

#[vtable]
impl configfs::AttributeOperations<1> for GroupDir {
    type Data = Self;

    fn show(dir: &Self, page: &mut [u8; PAGE_SIZE]) -> Result<usize> {
        require_admin()?;
        let follow = match dir.group.data().follow() {
            Follow::All => "all\n",
            Follow::Threads => "threads\n",
            Follow::None => "none\n",
        };
        show(page, |out| Ok(out.write_str(follow)?))
    }

    fn store(dir: &Self, text: &[u8]) -> Result {
        require_admin()?;
        let (follow, name) = match value(text) {
            b"all" => (Follow::All, c"all"),
            b"threads" => (Follow::Threads, c"threads"),
            b"none" => (Follow::None, c"none"),
            _ => return Err(EINVAL),
        };
        GroupData::set_follow(&dir.group, follow);
        dir.knobs.audit(c"follow", name, &Ok(()));
        Ok(())
    }
}

#[vtable]
impl configfs::AttributeOperations<2> for GroupDir {
    type Data = Self;

    fn show(dir: &Self, page: &mut [u8; PAGE_SIZE]) -> Result<usize> {
        show(page, |out| dir.knobs.show_enabled(out))
    }

    fn store(dir: &Self, text: &[u8]) -> Result {
        dir.knobs.store_enabled(text)
    }
}

#[vtable]
impl configfs::AttributeOperations<3> for GroupDir {
    type Data = Self;

    fn show(dir: &Self, page: &mut [u8; PAGE_SIZE]) -> Result<usize> {
        show(page, |out| dir.knobs.show_exit_path(out))
    }

    fn store(dir: &Self, text: &[u8]) -> Result {
        dir.knobs.store_exit_path(text)
    }
}

/// Parses `process PID`, `task TID` or `pidfd FD`.
fn parse_whom(text: &[u8]) -> Result<Whom> {
    let text = value(text);
    let space = text.iter().position(|byte| *byte == b' ').ok_or(EINVAL)?;
    let (kind, number) = (&text[..space], &text[space + 1..]);
    match kind {
        b"process" => Ok(Whom::process(parse_tid(number)?)),
        b"task" => Ok(Whom::task(parse_tid(number)?)),
        // It may be the first one.
        b"pidfd" if number == b"0" => Whom::pidfd(0),
        b"pidfd" => Whom::pidfd(parse_tid(number)?.unsigned_abs()),
        _ => Err(EINVAL),
    }
}

#[vtable]
impl configfs::AttributeOperations<4> for GroupDir {
    type Data = Self;

    fn store(dir: &Self, text: &[u8]) -> Result {
        require_admin()?;
        dir.group.join(&parse_whom(text)?)
    }
}

#[vtable]
impl configfs::AttributeOperations<5> for GroupDir {
    type Data = Self;

    fn store(dir: &Self, text: &[u8]) -> Result {
        require_admin()?;
        if value(text) == b"all" {
            dir.group.leave_all();
            return Ok(());
        }
        dir.group.leave(&parse_whom(text)?)
    }
}

#[vtable]
impl configfs::AttributeOperations<6> for GroupDir {
    type Data = Self;

    const SIZE: usize = MEMBERS_SIZE;

    fn show_sized(dir: &Self, buffer: &mut [u8]) -> Result<usize> {
        require_admin()?;
        let size = buffer.len();
        let mut out = Formatter::new(buffer);
        pin_init::stack_pin_init!(let members = dir.group.members());
        while let Some(tid) = members.as_mut().next_tid() {
            // A list that is not whole would be taken for one that is.
            if out.bytes_written() + MEMBER_WIDTH > size {
                return Err(EFBIG);
            }
            writeln!(out, "{tid}")?;
        }
        Ok(out.bytes_written())
    }
}

#[vtable]
impl configfs::AttributeOperations<7> for GroupDir {
    type Data = Self;

    fn show(dir: &Self, page: &mut [u8; PAGE_SIZE]) -> Result<usize> {
        show(page, |out| dir.knobs.show_stats(out))
    }
}

/// As many bytes as the name of a call can have, with the architecture, and a number.
const CALL_WIDTH: usize = 64;

/// As many bytes as a number can have, with a blank.
const NUMBER_WIDTH: usize = 21;

#[vtable]
impl configfs::AttributeOperations<8> for GroupDir {
    type Data = Self;

    const SIZE: usize = NR_CALLS * (CALL_WIDTH + 2 * NUMBER_WIDTH);

    fn show_sized(dir: &Self, buffer: &mut [u8]) -> Result<usize> {
        require_admin()?;
        show(buffer, |out| {
            dir.group.data().fmt_record(Record::Calls, out)
        })
    }

    fn store(dir: &Self, text: &[u8]) -> Result {
        require_admin()?;
        GroupData::record(&dir.group, Record::Calls, parse_switch(text)?)
    }
}

#[vtable]
impl configfs::AttributeOperations<9> for GroupDir {
    type Data = Self;

    const SIZE: usize = NR_CALLS * (CALL_WIDTH + 2 * NUMBER_WIDTH * NR_BUCKETS);

    fn show_sized(dir: &Self, buffer: &mut [u8]) -> Result<usize> {
        require_admin()?;
        show(buffer, |out| {
            dir.group.data().fmt_record(Record::Latency, out)
        })
    }

    fn store(dir: &Self, text: &[u8]) -> Result {
        require_admin()?;
        GroupData::record(&dir.group, Record::Latency, parse_switch(text)?)
    }
}

#[vtable]
impl configfs::AttributeOperations<10> for GroupDir {
    type Data = Self;

    fn show(dir: &Self, page: &mut [u8; PAGE_SIZE]) -> Result<usize> {
        show(page, |out| dir.knobs.show_count_exits(out))
    }

    fn store(dir: &Self, text: &[u8]) -> Result {
        dir.knobs.store_count_exits(text)
    }
}
