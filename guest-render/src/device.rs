//! The render node, and what the driver says about itself.
#![expect(unsafe_code, reason = "gives the kernel addresses of buffers")]

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr;
use std::sync::Arc;

use crate::abi::{Ioctl, context, object};
use crate::system::{self, Refusal};

/// The first render node: a guest has one GPU.
const NODE: &str = "/dev/dri/renderD128";

/// An open render node: a client with objects and contexts of its own. Clones share it.
#[derive(Debug, Clone)]
pub struct Device {
    file: Arc<File>,
}

impl Device {
    /// Opens it anew.
    pub fn open() -> Result<Self, String> {
        let file = File::options().read(true).write(true).open(NODE);
        let file = file.map_err(|error| format!("{NODE}: {error}"))?;
        Ok(Self {
            file: Arc::new(file),
        })
    }

    /// The file, to map parts of it.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Calls an ioctl on it.
    pub fn call<T>(&self, ioctl: &Ioctl<T>, argument: &mut T) -> Result<(), Refusal> {
        system::call(&*self.file, ioctl, argument)
    }

    /// The driver's name and version.
    pub fn driver(&self) -> Result<String, Refusal> {
        let mut name = [0; 32];
        let mut version = object::Version {
            name_len: name.len() as u64,
            name: name.as_mut_ptr().expose_provenance() as u64,
            ..Default::default()
        };
        // SAFETY: a buffer of the length given; the other lengths are 0.
        unsafe { system::call_with_pointers(self, &object::VERSION, &mut version) }?;
        let name: Vec<u8> = name.into_iter().take_while(|letter| *letter != 0).collect();
        Ok(String::from_utf8_lossy(&name).into_owned())
    }

    /// I915_PARAM_*.
    pub fn parameter(&self, parameter: i32) -> Result<i32, Refusal> {
        let mut value = 0_i32;
        let mut argument = object::GetParameter {
            param: parameter,
            value: ptr::from_mut(&mut value).expose_provenance() as u64,
        };
        // SAFETY: every parameter is one int.
        unsafe { system::call_with_pointers(self, &object::GET_PARAMETER, &mut argument) }?;
        Ok(value)
    }

    /// Class and instance of every engine.
    pub fn engines(&self) -> Result<Vec<(u16, u16)>, Refusal> {
        let mut list = context::EngineList::default();
        let mut item = context::QueryItem {
            query_id: context::QUERY_ENGINES,
            length: size_of_val(&list) as i32,
            data_ptr: ptr::from_mut(&mut list).expose_provenance() as u64,
            ..Default::default()
        };
        let mut query = context::Query {
            num_items: 1,
            items_ptr: ptr::from_mut(&mut item).expose_provenance() as u64,
            ..Default::default()
        };
        // SAFETY: one item, with a buffer of the length it says; both live until the return.
        unsafe { system::call_with_pointers(self, &context::QUERY, &mut query) }?;
        if item.length < 0 {
            return Err(Refusal {
                call: "DRM_I915_QUERY_ENGINE_INFO",
                error: -item.length,
            });
        }
        let engines = list.engines.iter().take(list.num_engines as usize);
        Ok(engines
            .map(|engine| (engine.engine_class, engine.engine_instance))
            .collect())
    }

    /// Bytes that the global GTT maps for this guest.
    pub fn aperture(&self) -> Result<u64, Refusal> {
        let mut aperture = object::GetAperture::default();
        self.call(&object::GET_APERTURE, &mut aperture)?;
        Ok(aperture.aper_size)
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
