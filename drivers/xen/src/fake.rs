//! Test doubles: a page that changes while it is read, and an imitation of Xen.

mod page;

pub use page::TestPage;
