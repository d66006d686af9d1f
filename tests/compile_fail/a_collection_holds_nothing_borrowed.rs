use async_rcu::{RcuList, RcuPtr, RcuVec};

#[cfg(wrong)]
type Text<'a> = &'a str;
#[cfg(not(wrong))]
type Text<'a> = &'static str;

pub fn list<'a>(list: &RcuList<&'static str>, text: Text<'a>) {
    list.push_back(text); //~ E0521
}

pub fn array<'a>(array: &RcuVec<&'static str>, text: Text<'a>) {
    array.push(text); //~ E0521
}

pub fn pointer<'a>(pointer: &RcuPtr<&'static str>, text: Text<'a>) {
    pointer.store(Some(Box::new(text))); //~ E0521
}
