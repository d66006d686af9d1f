//! `RcuList`, `RcuMap`, `RcuPtr` and `RcuVec`: tests of what each promises, comparisons with a
//! model after random operations, and torture.

mod common;
#[path = "collections/list.rs"]
mod list;
#[path = "collections/list_model.rs"]
mod list_model;
#[path = "collections/map.rs"]
mod map;
#[path = "collections/map_foreign.rs"]
mod map_foreign;
#[path = "collections/map_model.rs"]
mod map_model;
#[path = "collections/map_torture.rs"]
mod map_torture;
#[path = "collections/ptr.rs"]
mod ptr;
#[path = "collections/vec.rs"]
mod vec;
#[path = "collections/vec_model.rs"]
mod vec_model;
