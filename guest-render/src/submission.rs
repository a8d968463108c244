//! One execbuffer: an engine, a context, the objects and the batch, what to wait for.
#![expect(unsafe_code, reason = "gives the kernel addresses of lists")]

use core::time::Duration;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::abi::execution::{self as abi, ExecFence, ExecObject, Execute, Relocation};
use crate::commands::Commands;
use crate::context::Context;
use crate::device::Device;
use crate::engine::Engine;
use crate::fence::Fence;
use crate::object::Object;
use crate::system::{self, Refusal};

/// How long a request may take that should be done at once: everything is emulated, and the
/// kernel gives up on a batch after ten seconds and more.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How an object is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Only read: does not wait for other readers.
    Read,
    /// Written: whoever uses it later waits for this submission, and this one for earlier ones.
    Write,
    /// Written, and nobody waits for anybody.
    WriteUnordered,
}

/// A submission under construction. Objects are bound at their own addresses.
#[derive(Debug)]
pub struct Submission<'a> {
    execute: Execute,
    objects: Vec<ExecObject>,
    relocations: Vec<Vec<Relocation>>,
    fence: Option<BorrowedFd<'a>>,
    syncobjs: Vec<ExecFence>,
    timeline: Option<(Vec<ExecFence>, Vec<u64>)>,
}

impl<'a> Submission<'a> {
    /// On an engine, in the client's default context.
    pub fn new(engine: Engine) -> Self {
        let flags = engine.flag() | abi::NO_RELOC | abi::HANDLE_LUT;
        Self {
            execute: Execute {
                flags,
                ..Default::default()
            },
            objects: Vec::new(),
            relocations: Vec::new(),
            fence: None,
            syncobjs: Vec::new(),
            timeline: None,
        }
    }

    /// In another context.
    pub fn context(mut self, context: &Context) -> Self {
        self.execute.rsvd1 = context.number.into();
        self
    }

    /// Uses an object at its own address.
    pub fn object(self, object: &Object, access: Use) -> Self {
        self.object_at(object, access, object.address)
    }

    /// Uses an object at some address, in canonical form.
    pub fn object_at(self, object: &Object, access: Use, address: u64) -> Self {
        let flags = abi::OBJECT_48_BIT
            | abi::OBJECT_PINNED
            | match access {
                Use::Read => 0,
                Use::Write => abi::OBJECT_WRITE,
                Use::WriteUnordered => abi::OBJECT_WRITE | abi::OBJECT_ASYNC,
            };
        self.entry(ExecObject {
            handle: object.handle,
            offset: address,
            flags,
            ..Default::default()
        })
    }

    /// An object in the kernel's own terms. The last one is the batch.
    pub fn entry(mut self, object: ExecObject) -> Self {
        self.objects.push(object);
        self.relocations.push(Vec::new());
        self
    }

    /// What the kernel has to fill in in the latest object.
    pub fn relocations(mut self, relocations: Vec<Relocation>) -> Self {
        if let Some(list) = self.relocations.last_mut() {
            *list = relocations;
        }
        self
    }

    /// I915_EXEC_* instead of NO_RELOC and HANDLE_LUT.
    pub fn relocation_flags(mut self, flags: u64) -> Self {
        self.execute.flags &= !(abi::NO_RELOC | abi::HANDLE_LUT);
        self.execute.flags |= flags;
        self
    }

    /// Waits for a fence.
    pub fn after(mut self, fence: &'a Fence) -> Self {
        self.execute.flags |= abi::FENCE_IN;
        self.fence = Some(fence.descriptor());
        self
    }

    /// Waits for a syncobj or signals it.
    pub fn syncobj(mut self, handle: u32, flags: u32) -> Self {
        self.syncobjs.push(ExecFence { handle, flags });
        self
    }

    /// Waits for a point of a timeline syncobj or signals it. Not together with [`Self::syncobj`].
    pub fn timeline(mut self, handle: u32, flags: u32, point: u64) -> Self {
        let (fences, points) = self.timeline.get_or_insert_default();
        fences.push(ExecFence { handle, flags });
        points.push(point);
        self
    }

    /// Submits it; the last object is the batch.
    pub fn submit(mut self, device: &Device) -> Result<(), Refusal> {
        self.call(device)
    }

    /// Submits it and gets the address that the kernel found for the first object, or left it at.
    pub fn submit_for_address(mut self, device: &Device) -> Result<u64, Refusal> {
        self.call(device)?;
        Ok(self.objects.first().map_or(0, |object| object.offset))
    }

    /// Submits it and gets a fence that is signalled when it is done.
    pub fn submit_for_fence(mut self, device: &Device) -> Result<Fence, Refusal> {
        self.execute.flags |= abi::FENCE_OUT;
        self.call(device)?;
        let descriptor = (self.execute.rsvd2 >> 32) as i32;
        // SAFETY: the kernel has just made it for us.
        Ok(Fence::new(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    fn call(&mut self, device: &Device) -> Result<(), Refusal> {
        for (object, relocations) in self.objects.iter_mut().zip(&mut self.relocations) {
            object.relocation_count = relocations.len() as u32;
            object.relocs_ptr = relocations.as_mut_ptr().expose_provenance() as u64;
        }
        self.execute.buffers_ptr = self.objects.as_mut_ptr().expose_provenance() as u64;
        self.execute.buffer_count = self.objects.len() as u32;
        if let Some(fence) = self.fence {
            self.execute.rsvd2 = fence.as_raw_fd() as u32 as u64;
        }
        if !self.syncobjs.is_empty() {
            self.execute.flags |= abi::FENCE_ARRAY;
            self.execute.cliprects_ptr = self.syncobjs.as_ptr().expose_provenance() as u64;
            self.execute.num_cliprects = self.syncobjs.len() as u32;
        }
        let mut extension = abi::TimelineFences::default();
        if let Some((fences, points)) = &self.timeline {
            extension.fence_count = fences.len() as u64;
            extension.handles_ptr = fences.as_ptr().expose_provenance() as u64;
            extension.values_ptr = points.as_ptr().expose_provenance() as u64;
            self.execute.flags |= abi::USE_EXTENSIONS;
            self.execute.cliprects_ptr = (&raw mut extension).expose_provenance() as u64;
        }
        // SAFETY: every list lives in `self` or here until the return, with its length beside it.
        unsafe { system::call_with_pointers(device, &abi::EXECUTE, &mut self.execute) }
    }
}

/// An object that holds a batch.
pub fn batch(device: &Device, commands: &Commands) -> Result<Object, Refusal> {
    let object = Object::new(device, 4 * commands.0.len() as u64)?;
    object.write_dwords(&commands.0)?;
    Ok(object)
}

/// Executes commands that write to `objects`, and waits until they are done.
pub fn run(engine: Engine, commands: &Commands, objects: &[&Object]) -> Result<(), String> {
    let device = objects.first().ok_or("no object")?.device();
    let batch = batch(device, commands)?;
    let mut submission = Submission::new(engine);
    for object in objects {
        submission = submission.object(object, Use::Write);
    }
    submission.object(&batch, Use::Read).submit(device)?;
    finished(&batch)
}

/// Waits until an object is idle; how long that took is the failure if it does not become so.
pub fn finished(object: &Object) -> Result<(), String> {
    if object.idle_within(PATIENCE)? {
        Ok(())
    } else {
        let busy = object.busy()?;
        Err(format!(
            "not done after {} s (busy {busy:#x})",
            PATIENCE.as_secs()
        ))
    }
}
