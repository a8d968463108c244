//! On this host: structures against the kernel's headers, commands against the software GPU's
//! table, and the reference painter against the software GPU.

mod abi;
mod encoders;
mod painter;
