//! The spine of an array: a view shows whole elements, does not change, and shows no freed element.
//!
//! The models fail if `len` is raised or loaded Relaxed, if a spine is published Relaxed, if an
//! element is freed without a grace period, or if slots that were visible are written again before
//! a grace period has elapsed. They fail if `len` is lowered for a patch before there is a patch,
//! or after the patch that changes a slot, or if a patch is published or loaded Relaxed.

use super::*;
use crate::collections::spine::{Header, HighWater, Spine};
use crate::sys::prim::{AtomicPtr, Ordering};
use std::ptr::{self, NonNull};

/// Makes an element, whose memory is leaked.
fn value(name: u32) -> NonNull<Value> {
    NonNull::from(leak(Value::new(name)))
}

/// The pointer of an array, whose only writer is the model's main thread.
struct Array(AtomicPtr<Header<Value>>);

impl Array {
    fn of(names: impl IntoIterator<Item = u32>) -> &'static Self {
        let spine = Spine::with_room(4);
        let mut len = 0;
        for name in names {
            // SAFETY: private.
            unsafe { spine.set(len, value(name)) };
            len += 1;
        }
        // SAFETY: written.
        unsafe { spine.set_len(len) };
        leak(Array(AtomicPtr::new(spine.as_ptr())))
    }

    fn spine(&self) -> Spine<Value> {
        Spine::from_raw(self.0.load(Ordering::Relaxed)).unwrap()
    }

    fn publish(&self, spine: Spine<Value>) {
        self.0.store(spine.as_ptr(), Ordering::Release);
    }

    fn push_in_place(&self, name: u32) {
        let spine = self.spine();
        // SAFETY: by the only writer, of a free slot.
        unsafe {
            let len = spine.len();
            spine.set(len, value(name));
            spine.set_len(len + 1);
        }
    }

    /// Takes a view inside a section, looks at its elements twice, and returns their names.
    fn look(&self) -> Vec<u32> {
        let spine = Spine::from_raw(self.0.load(Ordering::Acquire)).unwrap();
        // SAFETY: loaded in a section.
        let shown = unsafe { spine.show() };
        let names = || -> Vec<u32> { shown.iter().map(Self::name).collect() };
        let seen = names();
        assert_eq!(names(), seen, "a view has changed");
        seen
    }

    /// Looks an index up inside a section, and returns the element's name.
    fn find(&self, at: usize) -> Option<u32> {
        let spine = Spine::from_raw(self.0.load(Ordering::Acquire)).unwrap();
        // SAFETY: in a section.
        unsafe { spine.find(at) }.map(Self::name)
    }

    fn name(element: NonNull<Value>) -> u32 {
        // SAFETY: elements are leaked.
        unsafe { element.as_ref() }.look()
    }

    /// Frees the spine, when all readers have ended.
    fn end(&self) {
        // SAFETY: alone.
        unsafe { self.spine().free() };
        self.0.store(ptr::null_mut(), Ordering::Relaxed);
    }
}

/// Elements are pushed in place under a reader.
#[test]
fn loom_models_pushes_in_place() {
    loom::model(|| {
        let (registry, _engine) = engine();
        let array = Array::of([]);
        let reader = in_section(registry.acquire(), || array.look());
        array.push_in_place(1);
        array.push_in_place(2);
        let names = reader.join().unwrap();
        assert!([1, 2].starts_with(&names), "{names:?}");
        array.end();
    });
}

/// A new spine replaces an element, and gets a push. The old spine is freed with the old element.
#[test]
fn loom_models_a_new_spine() {
    loom::model(|| {
        let (registry, engine) = engine();
        let array = Array::of([1]);
        let reader = in_section(registry.acquire(), || array.look());
        let old = array.spine();
        // SAFETY: the only writer; the copy is private until it is published.
        let replaced = unsafe {
            let copy = old.copy(1, 1);
            copy.set(0, value(2));
            array.publish(copy);
            old.get(0)
        };
        array.push_in_place(3);
        grace_period(engine);
        // SAFETY: elements are leaked, and the spine is freed after a grace period.
        unsafe {
            replaced.as_ref().free();
            old.free();
        }
        let names = reader.join().unwrap();
        assert!([&[1][..], &[2], &[2, 3]].contains(&&*names), "{names:?}");
        array.end();
    });
}

/// A slot is popped, and used again in place only if a grace period has elapsed, which another
/// thread may start.
#[test]
fn loom_models_a_slot_used_again() {
    loom::model(|| {
        let (registry, engine) = engine();
        let array = Array::of([1]);
        let reader = in_section(registry.acquire(), || array.look());
        let starter = thread::spawn(|| engine.try_start_and_scan());
        let spine = array.spine();
        let mut water = HighWater::<Seq>::at(1);
        // SAFETY: the only writer.
        unsafe { spine.set_len(0) };
        water.lower(engine.next());
        let reused = water.is_free(0, |next| engine.has_elapsed(*next));
        if reused {
            array.push_in_place(2);
        }
        starter.join().unwrap();
        let names = reader.join().unwrap();
        assert!([&[1][..], &[], &[2]].contains(&&*names), "{names:?}");
        assert!(reused || names != [2]);
        array.end();
    });
}

/// The first patch replaces an element and pushes one. A view and lookups show no mixture.
#[test]
fn loom_models_the_first_patch() {
    loom::model(|| {
        let (registry, engine) = engine();
        let array = Array::of([1, 2]);
        let reader = in_section(registry.acquire(), || (array.look(), array.find(1)));
        let spine = array.spine();
        // SAFETY: the only writer; below the capacity.
        let replaced = unsafe {
            let replaced = spine.get(1);
            spine.set_patch(3, &[(1, value(3)), (2, value(4))]);
            replaced
        };
        grace_period(engine);
        // SAFETY: elements are leaked.
        unsafe { replaced.as_ref() }.free();
        let (names, found) = reader.join().unwrap();
        assert!([&[1, 2][..], &[1, 3, 4]].contains(&&*names), "{names:?}");
        // The lookup comes after the view, so it shows the same version or a later one.
        assert!(found == Some(3) || (names.len(), found) == (2, Some(2)), "{found:?}");
        array.end();
    });
}

/// A popped slot is pushed again by patches. The view of an earlier patch does not change.
#[test]
fn loom_models_a_later_patch() {
    loom::model(|| {
        let (registry, engine) = engine();
        let array = Array::of([1, 2]);
        // SAFETY: the only writer, as below.
        let popped = unsafe {
            let popped = array.spine().get(1);
            array.spine().set_patch(1, &[]);
            popped
        };
        let reader = in_section(registry.acquire(), || (array.look(), array.find(1), array.look()));
        // SAFETY: as above.
        let second = unsafe {
            array.spine().set_patch(2, &[(1, value(3))]);
            let second = array.spine().get(0);
            array.spine().set_patch(2, &[(0, value(4))]);
            second
        };
        grace_period(engine);
        for element in [popped, second] {
            // SAFETY: elements are leaked.
            unsafe { element.as_ref() }.free();
        }
        let (first, found, last) = reader.join().unwrap();
        let versions = [&[1][..], &[1, 3], &[4, 3]];
        let at = |names: &[u32]| versions.iter().position(|version| *version == names);
        let (before, after) = (at(&first).expect("a version"), at(&last).expect("a version"));
        assert!(before <= after, "{first:?} {last:?}");
        assert!(found == Some(3) && after > 0 || found.is_none() && before == 0, "{found:?}");
        array.end();
    });
}
