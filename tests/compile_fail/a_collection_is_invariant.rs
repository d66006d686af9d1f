use async_rcu::{RcuList, RcuPtr, RcuVec};

type Any = for<'a> fn(&'a str);
#[cfg(wrong)]
type To = fn(&'static str);
#[cfg(not(wrong))]
type To = Any;

pub fn pointer(it: &RcuPtr<Any>) -> &RcuPtr<To> {
    it //~ E0308
}

pub fn list(it: &RcuList<Any>) -> &RcuList<To> {
    it //~ E0308
}

pub fn array(it: &RcuVec<Any>) -> &RcuVec<To> {
    it //~ E0308
}
