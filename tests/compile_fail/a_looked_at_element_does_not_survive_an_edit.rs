use async_rcu::{RcuList, RcuVec};

pub fn list(list: &RcuList<u32>) -> u32 {
    let mut writer = list.write();
    let seen = writer.current().unwrap();
    let copied = *seen;
    drop(writer.remove()); //~ E0502
    #[cfg(wrong)]
    return *seen;
    #[cfg(not(wrong))]
    copied
}

pub fn array(array: &RcuVec<u32>) -> u32 {
    let mut writer = array.write();
    let seen = writer.get(0).unwrap();
    let copied = *seen;
    writer.pop(); //~ E0502
    #[cfg(wrong)]
    return *seen;
    #[cfg(not(wrong))]
    copied
}
