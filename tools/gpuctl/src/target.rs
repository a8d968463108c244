//! `xc_domain_set_target`: makes one domain the device model of another, on Xen without FLASK.
//!
//! domctl is no stable interface: libxenctrl must be the one of the running Xen, so it is loaded
//! by name at run time and gpuctl itself links against none (`tools/include/xenctrl.h`).
#![expect(unsafe_code, reason = "calls into libxenctrl, loaded at run time")]

use core::ffi::{CStr, c_char, c_int, c_uint, c_void};
use core::mem::transmute;
use std::io;

use crate::error::{Error, Result};

/// Newest first: only one is normally installed. The service domain needs 4.19 or newer.
const LIBRARIES: [&CStr; 6] = [
    c"libxenctrl.so.4.23",
    c"libxenctrl.so.4.22",
    c"libxenctrl.so.4.21",
    c"libxenctrl.so.4.20",
    c"libxenctrl.so.4.19",
    c"libxenctrl.so",
];

/// Resolve everything at once: a library that lacks something fails here, not in a call.
const RTLD_NOW: c_int = 2;

// SAFETY: POSIX's dlopen and dlsym, with glibc's types; std links the library that has them.
unsafe extern "C" {
    fn dlopen(file: *const c_char, mode: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

type Open = unsafe extern "C" fn(*mut c_void, *mut c_void, c_uint) -> *mut c_void;
type Close = unsafe extern "C" fn(*mut c_void) -> c_int;
type SetTarget = unsafe extern "C" fn(*mut c_void, u32, u32) -> c_int;

/// Lets `service` act as device model of `guest`. Xen grants this once per service domain.
pub fn set_target(service: u32, guest: u32) -> Result<()> {
    let library = load()?;
    let open = symbol(library, c"xc_interface_open")?;
    let close = symbol(library, c"xc_interface_close")?;
    let set = symbol(library, c"xc_domain_set_target")?;
    // SAFETY: xenctrl.h declares xc_interface *xc_interface_open(xentoollog_logger *,
    // xentoollog_logger *, unsigned); the library keeps what it exports at that type.
    let open: Open = unsafe { transmute(open) };
    // SAFETY: xenctrl.h: int xc_interface_close(xc_interface *).
    let close: Close = unsafe { transmute(close) };
    // SAFETY: xenctrl.h: int xc_domain_set_target(xc_interface *, uint32_t, uint32_t).
    let set: SetTarget = unsafe { transmute(set) };

    // SAFETY: null loggers and no flags are documented to mean the defaults.
    let interface = unsafe { open(core::ptr::null_mut(), core::ptr::null_mut(), 0) };
    if interface.is_null() {
        return Err(Error::Target {
            service,
            guest,
            error: io::Error::last_os_error(),
        });
    }
    // SAFETY: `interface` is open.
    let answer = unsafe { set(interface, service, guest) };
    let error = io::Error::last_os_error();
    // SAFETY: `interface` is open and not used again.
    unsafe { close(interface) };
    if answer == 0 {
        Ok(())
    } else {
        Err(Error::Target {
            service,
            guest,
            error,
        })
    }
}

fn load() -> Result<*mut c_void> {
    for name in LIBRARIES {
        // SAFETY: `name` ends with a zero byte; loading libxenctrl runs no code that matters here.
        let library = unsafe { dlopen(name.as_ptr(), RTLD_NOW) };
        if !library.is_null() {
            return Ok(library);
        }
    }
    let tried: Vec<_> = LIBRARIES
        .iter()
        .map(|name| name.to_string_lossy())
        .collect();
    Err(Error::NoLibrary(tried.join(", ")))
}

fn symbol(library: *mut c_void, name: &CStr) -> Result<*mut c_void> {
    // SAFETY: `library` came from dlopen and is never closed; `name` ends with a zero byte.
    let address = unsafe { dlsym(library, name.as_ptr()) };
    if address.is_null() {
        return Err(Error::NoLibrary(format!(
            "a library without {}",
            name.to_string_lossy()
        )));
    }
    Ok(address)
}
