//! Test doubles: memory that changes while it is read, and an imitation of Xen.

mod arena;
mod dm_op;
mod memory;
mod page;
mod xen;

pub use arena::Arena;
pub use page::TestPage;
pub use xen::FakeXen;
