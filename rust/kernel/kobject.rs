// SPDX-License-Identifier: GPL-2.0

//! Directories and attribute files in sysfs.
//!
//! A [`Dir`] is a directory that exists while the object does. Its files are described by a static
//! table, [`Attributes::ATTRIBUTES`], and act on the data that the directory owns. Once a directory
//! is dropped no `show` or `store` runs, or will run, even if a file is held open.
//!
//! C header: [`include/linux/kobject.h`](srctree/include/linux/kobject.h)
//!
//! # Examples
//!
//! ```
//! use kernel::fmt::Write;
//! use kernel::kobject::{Attribute, Attributes, Dir, KernelDir, Page};
//! use kernel::prelude::*;
//!
//! struct Lamp {
//!     watts: u32,
//! }
//!
//! impl Attributes for Lamp {
//!     const ATTRIBUTES: &'static [Attribute<Self>] =
//!         &[Attribute::ro(c"watts", 0o444, Lamp::show)];
//! }
//!
//! impl Lamp {
//!     fn show(&self, page: &mut Page<'_>) -> Result {
//!         Ok(writeln!(page, "{}", self.watts)?)
//!     }
//! }
//!
//! // Is `/sys/kernel/lamp/watts` until `dir` is dropped.
//! let dir = Dir::new(KernelDir, c"lamp", Lamp { watts: 60 })?;
//! assert_eq!(dir.data().watts, 60);
//! # Ok::<(), Error>(())
//! ```

use crate::{
    bindings,
    container_of,
    error::{from_result, to_result},
    fmt,
    page::PAGE_SIZE,
    prelude::*,
    str::RawFormatter,
    sync::Arc,
    types::Opaque, //
};
use core::{marker::PhantomData, ptr::NonNull};

/// The page that an attribute's value is written to when it is read.
///
/// Writing more than a page fails.
pub struct Page<'a> {
    formatter: RawFormatter,
    _p: PhantomData<&'a mut [u8]>,
}

impl fmt::Write for Page<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.formatter.write_str(s)?;
        // sysfs takes a full page for an overrun.
        if self.formatter.bytes_written() >= PAGE_SIZE {
            return Err(fmt::Error);
        }
        Ok(())
    }
}

/// What is the same of a file whatever the type of its directory, which the functions here know.
/// Calls by pointers of the wrong type would be trapped by kCFI.
#[repr(C)]
struct File {
    attribute: bindings::attribute,
    show: unsafe fn(*const File, *const c_void, &mut Page<'_>) -> Result,
    store: unsafe fn(*const File, *const c_void, &[u8]) -> Result,
}

/// A file in a directory of type `T`.
///
/// # Invariants
///
/// The functions of `file` are those of this type.
#[repr(C)]
pub struct Attribute<T: 'static> {
    file: File,
    show: Option<fn(&T, &mut Page<'_>) -> Result>,
    store: Option<fn(&T, &[u8]) -> Result>,
}

// SAFETY: `&self` lends names, modes and functions, which nobody writes: sysfs takes attributes
// that are constant. No `T` is in it.
unsafe impl<T> Sync for Attribute<T> {}

impl<T> Attribute<T> {
    const fn new(name: &'static CStr, mode: u16) -> Self {
        let mut attribute: bindings::attribute = pin_init::zeroed();
        attribute.name = crate::str::as_char_ptr_in_const_context(name);
        attribute.mode = mode;
        // INVARIANT: They are.
        Self {
            file: File {
                attribute,
                show: Self::call_show,
                store: Self::call_store,
            },
            show: None,
            store: None,
        }
    }

    /// # Safety
    ///
    /// `file` is that of an `Attribute<T>`, and `data` points to a `T`; both are valid for the
    /// call.
    unsafe fn call_show(file: *const File, data: *const c_void, page: &mut Page<'_>) -> Result {
        // SAFETY: The caller promises that both live for the call, of this type; in `Attribute`,
        // which is `repr(C)`, `file` is the first member, so that their addresses are the same.
        let (attribute, data) = unsafe { (&*file.cast::<Self>(), &*data.cast::<T>()) };
        attribute.show.ok_or(EIO)?(data, page)
    }

    /// # Safety
    ///
    /// As for [`Self::call_show`].
    unsafe fn call_store(file: *const File, data: *const c_void, text: &[u8]) -> Result {
        // SAFETY: The caller promises that both live for the call, of this type; in `Attribute`,
        // which is `repr(C)`, `file` is the first member, so that their addresses are the same.
        let (attribute, data) = unsafe { (&*file.cast::<Self>(), &*data.cast::<T>()) };
        attribute.store.ok_or(EIO)?(data, text)
    }

    /// A file that can be read.
    pub const fn ro(name: &'static CStr, mode: u16, show: fn(&T, &mut Page<'_>) -> Result) -> Self {
        let mut attribute = Self::new(name, mode);
        attribute.show = Some(show);
        attribute
    }

    /// A file that can be written.
    pub const fn wo(name: &'static CStr, mode: u16, store: fn(&T, &[u8]) -> Result) -> Self {
        let mut attribute = Self::new(name, mode);
        attribute.store = Some(store);
        attribute
    }

    /// A file that can be read and written.
    pub const fn rw(
        name: &'static CStr,
        mode: u16,
        show: fn(&T, &mut Page<'_>) -> Result,
        store: fn(&T, &[u8]) -> Result,
    ) -> Self {
        let mut attribute = Self::new(name, mode);
        attribute.show = Some(show);
        attribute.store = Some(store);
        attribute
    }
}

/// What a directory holds: its data, and the files that act on it.
pub trait Attributes: Sized + Send + Sync + 'static {
    /// The files. `show` and `store` run in process context and may sleep. They must not drop the
    /// directory that they run for, which would wait for them.
    const ATTRIBUTES: &'static [Attribute<Self>];
}

/// Where a directory can be made.
///
/// # Safety
///
/// `as_raw()` returns a kobject that is in sysfs while the implementing object exists.
pub unsafe trait Parent {
    /// The parent's kobject.
    fn as_raw(&self) -> *mut bindings::kobject;
}

/// `/sys/kernel`.
pub struct KernelDir;

// SAFETY: `ksysfs_init()`, a core initcall, makes `kernel_kobj` or fails the boot; nothing removes
// it.
unsafe impl Parent for KernelDir {
    fn as_raw(&self) -> *mut bindings::kobject {
        // SAFETY: Written once, by a core initcall, which comes before all that has a `KernelDir`
        // of use.
        unsafe { bindings::kernel_kobj }
    }
}

// SAFETY: By the type invariants of `Dir` its kobject is in sysfs, until it is dropped; the `Arc`
// keeps it.
unsafe impl<T: Attributes, P: Parent> Parent for Arc<Dir<T, P>> {
    fn as_raw(&self) -> *mut bindings::kobject {
        // SAFETY: By the type invariants of `Dir` `node` comes from a box, which is freed when the
        // reference is put that `Dir` has.
        unsafe { self.node.as_ref() }.kobj.get()
    }
}

/// What lives as long as the kobject, which others may keep for a while: nothing of it belongs to
/// the module that made the directory.
struct Node {
    kobj: Opaque<bindings::kobject>,
    data: *const c_void,
}

/// A directory in sysfs. Dropping it removes it, and may sleep.
///
/// # Invariants
///
/// `node` comes from a [`KBox`], and its `kobj` is in sysfs, in the directory `_parent`, with files
/// that are each an [`Attribute<T>`]. Its `data` points to `data`.
pub struct Dir<T: Attributes, P: Parent> {
    node: NonNull<Node>,
    data: KBox<T>,
    // Keeps the parent in sysfs until this directory is out of it.
    _parent: P,
}

// SAFETY: `T` and `P` are `Send`. A kobject may be deleted and put by any task.
unsafe impl<T: Attributes, P: Parent + Send> Send for Dir<T, P> {}
// SAFETY: `T` and `P` are `Sync`. Of the node, `&self` lends the address of its kobject, which
// sysfs locks.
unsafe impl<T: Attributes, P: Parent + Sync> Sync for Dir<T, P> {}

impl<T: Attributes, P: Parent> Dir<T, P> {
    /// Makes the directory `name` in `parent`, with all its files. May sleep.
    ///
    /// `EEXIST` if there is such a name already. If it may appear meanwhile, the caller has to
    /// prevent that: sysfs logs a warning then.
    pub fn new(parent: P, name: &CStr, data: T) -> Result<Self> {
        let data = KBox::new(data, GFP_KERNEL)?;
        let node = KBox::new(
            Node {
                kobj: Opaque::zeroed(),
                data: core::ptr::from_ref(&*data).cast(),
            },
            GFP_KERNEL,
        )?;

        // SAFETY: By the contract of `Parent` its kobject is in sysfs, so that `sd` is set and
        // lives as long as `parent`, which we own.
        let taken = unsafe {
            bindings::kernfs_find_and_get_ns(
                (*parent.as_raw()).sd,
                name.as_char_ptr(),
                core::ptr::null(),
            )
        };
        if !taken.is_null() {
            // SAFETY: Not null, so this is the reference that the call above took.
            unsafe { bindings::kernfs_put(taken) };
            return Err(EEXIST);
        }

        let node = KBox::into_raw(node);
        // SAFETY: `node` comes from a box, with a zeroed `kobj`, as initialising it demands; by the
        // contract of `Parent` the parent's is in sysfs. From here on the box is freed by
        // `release()`, when the last reference is put.
        let added = to_result(unsafe {
            bindings::kobject_init_and_add(
                (*node).kobj.get(),
                &KTYPE.0,
                parent.as_raw(),
                c"%s".as_char_ptr(),
                name.as_char_ptr(),
            )
        });
        if let Err(e) = added {
            // SAFETY: The C function initialises a kobject also where it fails to add it, and
            // leaves us the first reference.
            unsafe { bindings::kobject_put((*node).kobj.get()) };
            return Err(e);
        }

        // INVARIANT: The directory is in sysfs; only an `Attribute<T>` becomes a file of it.
        let dir = Self {
            // SAFETY: Comes from a box, whose address is not null.
            node: unsafe { NonNull::new_unchecked(node) },
            data,
            _parent: parent,
        };
        for attribute in T::ATTRIBUTES {
            // SAFETY: The kobject was added above, and `dir` has a reference to it. `attribute` is
            // `'static`, so that it outlives the file.
            to_result(unsafe {
                bindings::sysfs_create_file_ns(
                    (*node).kobj.get(),
                    core::ptr::from_ref(attribute).cast(),
                    core::ptr::null(),
                )
            })?;
        }
        Ok(dir)
    }

    /// The directory's data.
    pub fn data(&self) -> &T {
        &self.data
    }
}

impl<T: Attributes, P: Parent> Drop for Dir<T, P> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants `node` comes from a box, to whose kobject we have a
        // reference.
        let kobj = unsafe { self.node.as_ref() }.kobj.get();
        // SAFETY: By the type invariants it is in sysfs, and we have a reference. This waits for
        // its `show` and `store`, so that none uses `data` when it is dropped.
        unsafe { bindings::kobject_del(kobj) };
        // SAFETY: The reference that `new()` was given by `kobject_init_and_add()`, put here only.
        unsafe { bindings::kobject_put(kobj) };
    }
}

struct KType(bindings::kobj_type);

// SAFETY: Sysfs reads it and never writes it, and nothing in it is mutable through `&self`.
unsafe impl Sync for KType {}

struct SysfsOps(bindings::sysfs_ops);

// SAFETY: Two constant functions, which sysfs reads.
unsafe impl Sync for SysfsOps {}

static SYSFS_OPS: SysfsOps = SysfsOps(bindings::sysfs_ops {
    show: Some(show),
    store: Some(store),
});

static KTYPE: KType = {
    let mut ktype: bindings::kobj_type = pin_init::zeroed();
    ktype.release = Some(release);
    ktype.sysfs_ops = &SYSFS_OPS.0;
    KType(ktype)
};

/// The file, and the data of its directory: what the file's functions want.
///
/// # Safety
///
/// `kobj` is that of a `Dir`, and `attribute` one of its files.
unsafe fn file(
    kobj: *mut bindings::kobject,
    attribute: *mut bindings::attribute,
) -> (*const File, *const c_void) {
    // SAFETY: The caller promises that `kobj` is that of a `Dir`, which by its type invariants is
    // in a `Node`; an `Opaque` has the layout of what is in it.
    let node = unsafe { container_of!(Opaque::cast_from(kobj), Node, kobj) };
    // The attribute is the first member of a `File`.
    // SAFETY: By the type invariants of `Dir` the node comes from a box, which whoever has `kobj`
    // keeps.
    (attribute.cast_const().cast(), unsafe { (*node).data })
}

/// # Safety
///
/// Called by sysfs for a file of a `Dir`, which it keeps from being removed meanwhile. `page` is a
/// page.
unsafe extern "C" fn show(
    kobj: *mut bindings::kobject,
    attribute: *mut bindings::attribute,
    page: *mut c_char,
) -> isize {
    // SAFETY: Sysfs calls this for a file of a `Dir`: with its kobject, and that file's attribute.
    let (file, data) = unsafe { file(kobj, attribute) };

    from_result(|| {
        let mut page = Page {
            // SAFETY: Sysfs hands over a page of its own, for this call.
            formatter: unsafe { RawFormatter::from_buffer(page.cast(), PAGE_SIZE) },
            _p: PhantomData,
        };
        // SAFETY: By the invariants of `Dir` the file is of an `Attribute<T>`, and the data is a
        // `T`, of the same type; by the invariants of `Attribute` the function is for that type.
        // The directory, and so its data, is there meanwhile by the safety requirements.
        unsafe { ((*file).show)(file, data, &mut page) }?;
        let written = page.formatter.bytes_written();
        // Whether or not the function has heeded it, the text did not fit.
        if written >= PAGE_SIZE {
            return Err(fmt::Error.into());
        }
        Ok(written as isize)
    })
}

/// # Safety
///
/// Called by sysfs for a file of a `Dir`, which it keeps from being removed meanwhile. `buf` is
/// valid for `len` bytes.
unsafe extern "C" fn store(
    kobj: *mut bindings::kobject,
    attribute: *mut bindings::attribute,
    buf: *const c_char,
    len: usize,
) -> isize {
    // SAFETY: Sysfs calls this for a file of a `Dir`: with its kobject, and that file's attribute.
    let (file, data) = unsafe { file(kobj, attribute) };

    from_result(|| {
        // SAFETY: Sysfs hands over a buffer of its own, which has `len` bytes and lives for this
        // call.
        let text = unsafe { core::slice::from_raw_parts(buf.cast(), len) };
        // SAFETY: As in `show()`.
        unsafe { ((*file).store)(file, data, text) }?;
        Ok(len as isize)
    })
}

/// # Safety
///
/// `kobj` is that of a `Node` that comes from a box and that nobody uses any more.
unsafe extern "C" fn release(kobj: *mut bindings::kobject) {
    // SAFETY: The caller promises that `kobj` is in a `Node`; an `Opaque` has the layout of what is
    // in it.
    let node = unsafe { container_of!(Opaque::cast_from(kobj), Node, kobj) };
    // SAFETY: The caller promises that the node comes from a box and that nobody uses it: it is
    // ours.
    drop(unsafe { KBox::from_raw(node.cast_mut()) });
}

#[cfg(CONFIG_SLOWPATH_KUNIT_TEST)]
#[::kernel::macros::kunit_tests(rust_slowpath_kobject)]
mod tests {
    use super::*;
    use crate::sync::atomic::{ordering::Relaxed, Atomic};
    use core::fmt::Write;

    struct Files {
        value: u32,
        dropped: Arc<Atomic<u32>>,
    }

    impl Drop for Files {
        fn drop(&mut self) {
            self.dropped.add(1, Relaxed);
        }
    }

    impl Attributes for Files {
        const ATTRIBUTES: &'static [Attribute<Self>] = &[
            Attribute::ro(c"value", 0o400, |files, page| {
                Ok(writeln!(page, "{}", files.value)?)
            }),
            Attribute::ro(c"long", 0o400, |_, page| {
                for _ in 0..PAGE_SIZE {
                    page.write_str("x")?;
                }
                Ok(())
            }),
            Attribute::wo(c"picky", 0o200, |_, text| {
                if text == b"good" {
                    Ok(())
                } else {
                    Err(EDOM)
                }
            }),
            Attribute::ro(c"heedless", 0o400, |_, page| {
                for _ in 0..PAGE_SIZE {
                    let _ = page.write_str("xx");
                }
                Ok(())
            }),
        ];
    }

    fn files() -> Result<(Files, Arc<Atomic<u32>>)> {
        let dropped = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        let files = Files {
            value: 42,
            dropped: dropped.clone(),
        };
        Ok((files, dropped))
    }

    /// Whether a directory has an entry of this name.
    fn has(parent: &impl Parent, name: &CStr) -> bool {
        // SAFETY: The parent is in sysfs.
        let found = unsafe {
            bindings::kernfs_find_and_get_ns(
                (*parent.as_raw()).sd,
                name.as_char_ptr(),
                core::ptr::null(),
            )
        };
        if found.is_null() {
            return false;
        }
        // SAFETY: We were given this reference.
        unsafe { bindings::kernfs_put(found) };
        true
    }

    fn attribute(index: usize) -> *mut bindings::attribute {
        (&raw const Files::ATTRIBUTES[index].file.attribute).cast_mut()
    }

    #[test]
    fn exists_until_dropped() -> Result {
        let (files, dropped) = files()?;
        assert!(!has(&KernelDir, c"kunit-kobject"));
        let dir = Arc::new(Dir::new(KernelDir, c"kunit-kobject", files)?, GFP_KERNEL)?;
        assert!(has(&KernelDir, c"kunit-kobject"));
        assert!(has(&dir, c"value") && has(&dir, c"picky") && !has(&dir, c"other"));
        assert_eq!(dropped.load(Relaxed), 0);
        drop(dir);
        assert!(!has(&KernelDir, c"kunit-kobject"));
        assert_eq!(dropped.load(Relaxed), 1);
        Ok(())
    }

    #[test]
    fn name_that_is_taken() -> Result {
        let (first, first_dropped) = files()?;
        let (second, second_dropped) = files()?;
        let dir = Dir::new(KernelDir, c"kunit-kobject", first)?;
        assert_eq!(
            Dir::new(KernelDir, c"kunit-kobject", second).err(),
            Some(EEXIST)
        );
        assert_eq!(second_dropped.load(Relaxed), 1);
        assert_eq!(first_dropped.load(Relaxed), 0);
        drop(dir);
        Ok(())
    }

    #[test]
    fn child_keeps_parent() -> Result {
        let (outer, outer_dropped) = files()?;
        let (inner, _) = files()?;
        let parent = Arc::new(Dir::new(KernelDir, c"kunit-kobject", outer)?, GFP_KERNEL)?;
        let child = Dir::new(parent.clone(), c"child", inner)?;
        drop(parent);
        assert!(has(&KernelDir, c"kunit-kobject"));
        assert_eq!(outer_dropped.load(Relaxed), 0);
        drop(child);
        assert!(!has(&KernelDir, c"kunit-kobject"));
        assert_eq!(outer_dropped.load(Relaxed), 1);
        Ok(())
    }

    #[test]
    fn shown_and_stored() -> Result {
        let (files, _) = files()?;
        let dir = Arc::new(Dir::new(KernelDir, c"kunit-kobject", files)?, GFP_KERNEL)?;
        let mut page = KBox::new([0u8; PAGE_SIZE], GFP_KERNEL)?;
        let buffer = page.as_mut_ptr();

        // SAFETY: The directory exists, and the buffer is a page.
        let len = unsafe { show(dir.as_raw(), attribute(0), buffer.cast()) };
        assert_eq!(len, 3);
        assert_eq!(&page[..3], b"42\n");
        // SAFETY: As above.
        let len = unsafe { show(dir.as_raw(), attribute(1), buffer.cast()) };
        assert!(len < 0);
        // SAFETY: As above.
        let len = unsafe { show(dir.as_raw(), attribute(2), buffer.cast()) };
        assert_eq!(len, EIO.to_errno() as isize);
        // SAFETY: As above.
        let len = unsafe { show(dir.as_raw(), attribute(3), buffer.cast()) };
        assert!(len < 0);

        for (text, want) in [(b"good", 4), (b"evil", EDOM.to_errno() as isize)] {
            // SAFETY: The directory exists, and the text has this length.
            let len = unsafe { store(dir.as_raw(), attribute(2), text.as_ptr().cast(), 4) };
            assert_eq!(len, want);
        }
        Ok(())
    }
}
