use async_rcu::RcuCell;

type Any = for<'a> fn(&'a str);
type Static = fn(&'static str);

#[cfg(wrong)]
pub fn f(cell: &RcuCell<Any>) -> &RcuCell<Static> {
    cell //~ E0308
}

// A `Box` is covariant, so it allows the same conversion.
#[cfg(not(wrong))]
pub fn f(cell: &Box<Any>) -> &Box<Static> {
    cell
}

pub fn same(cell: &RcuCell<Any>) -> &RcuCell<Any> {
    cell
}
