//! Submission, told whole: guests' drivers, the mediator and the software GPU in virtual time.

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "stories use a part of it")]
mod common;
#[path = "../../../drivers/gpu/tests/linux/mod.rs"]
#[expect(dead_code, reason = "nobody takes turns here")]
mod linux;

mod bystander;
mod driver;

mod allocation;
mod clock;
mod contract;
mod copies;
mod draw;
mod hang;
mod hostile;
mod large;
mod random;
mod refused;
mod release;
mod reset;
mod scheduler;
mod spinners;
mod tables;
