use async_rcu::structures::DomainRef;
use async_rcu::{Guard, Rcu};
use std::sync::atomic::{AtomicPtr, Ordering};

pub struct Setting {
    current: AtomicPtr<String>,
    domain: DomainRef,
}

impl Setting {
    pub fn get<'g>(&self, guard: &'g impl Guard) -> Option<&'g String> {
        self.domain.assert_covers(guard, "Setting");
        // SAFETY: null, or from a box that is freed only after this guard's section.
        unsafe { self.current.load(Ordering::Acquire).as_ref() }
    }
}

pub fn f(rcu: &Rcu, setting: &Setting) -> bool {
    let guard = rcu.read();
    let value = setting.get(&guard);
    #[cfg(wrong)]
    drop(guard); //~ E0505
    value.is_some()
}
