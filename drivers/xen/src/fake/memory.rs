//! The memory half of the imitation: windows, foreign pages, populate.

use super::xen::{Mapping, State, at_address as at, element};
use crate::abi::{DomainId, Errno, memory};
use crate::detect::Version;
use crate::shared::{SharedPage, Window};

impl State {
    pub fn memory_op(
        &mut self,
        version: Version,
        arena: Window,
        command: u64,
        argument: u64,
    ) -> Result<u64, Errno> {
        let inside = |frame: u64| {
            assert!(
                frame
                    .checked_sub(arena.first())
                    .is_some_and(|index| index < arena.frames()),
                "mapping over frame {frame:#x}, which is nobody's window"
            );
        };
        match command {
            7 => {
                let add = at::<memory::AddToPhysmap>(argument);
                assert_eq!(add.domid, DomainId::SELF);
                inside(add.gpfn);
                let mapping = match add.space {
                    memory::MAPSPACE_SHARED_INFO => Mapping::SharedInfo,
                    memory::MAPSPACE_GRANT_TABLE => Mapping::GrantFrame(add.idx),
                    _ => return Err(Errno::EINVAL),
                };
                self.mappings.insert(add.gpfn, mapping);
                Ok(0)
            }
            15 => {
                let remove = at::<memory::RemoveFromPhysmap>(argument);
                if remove.domid != DomainId::SELF {
                    let guest = self.guests.get_mut(&remove.domid.0).ok_or(Errno::ESRCH)?;
                    return guest
                        .pages
                        .remove(&remove.gpfn)
                        .then_some(0)
                        .ok_or(Errno::ENOENT);
                }
                inside(remove.gpfn);
                let mapping = self.mappings.remove(&remove.gpfn).ok_or(Errno::ENOENT)?;
                if let Mapping::Ioreq(domain, id, frame) = mapping
                    && let Some(page) = arena.page(remove.gpfn - arena.first())
                {
                    self.keep_page(domain, id, frame, &page);
                }
                Ok(0)
            }
            23 => {
                let batch = at::<memory::AddToPhysmapBatch<'_>>(argument);
                let foreign = batch.foreign_domid;
                if version < Version::REQUIRED || !self.privileged {
                    return Err(Errno::EPERM);
                }
                for index in 0..usize::from(batch.size) {
                    let gfn = element::<u64>(batch.idxs.address(), index);
                    let frame = element::<u64>(batch.gpfns.address(), index);
                    inside(frame);
                    let there = self
                        .guests
                        .get(&foreign.0)
                        .is_some_and(|guest| guest.pages.contains(&gfn));
                    let errno = match self.foreign_errors.get(&gfn) {
                        Some(errno) => *errno,
                        None if there => 0,
                        None => -Errno::EINVAL.0,
                    };
                    if errno == 0 {
                        self.mappings
                            .insert(frame, Mapping::Foreign(foreign.0, gfn));
                    }
                    *at::<i32>(batch.errs.address() + index as u64 * 4) = errno;
                    if errno == 1 {
                        // A test's way to have the call as a whole fail half-way.
                        return Err(Errno::EFAULT);
                    }
                }
                Ok(0)
            }
            28 => {
                let acquire = at::<memory::AcquireResource<'_>>(argument);
                if version < Version::REQUIRED || !self.privileged {
                    return Err(Errno::EACCES);
                }
                assert_eq!(acquire.r#type, memory::RESOURCE_IOREQ_SERVER);
                let domain = acquire.domid.0;
                let id = acquire.id as u16;
                for index in 0..acquire.nr_frames as usize {
                    let frame = element::<u64>(acquire.frame_list.address(), index);
                    inside(frame);
                    let number = acquire.frame + index as u64;
                    let page = arena.page(frame - arena.first()).ok_or(Errno::EIO)?;
                    if self.mappings.contains_key(&frame) {
                        return Err(if index > 0 { Errno::EIO } else { Errno::EPERM });
                    }
                    self.restore_page(domain, id, number, &page)?;
                    self.mappings
                        .insert(frame, Mapping::Ioreq(domain, id, number));
                }
                Ok(0)
            }
            9 => {
                let map = at::<memory::MemoryMap<'_>>(argument);
                let count = self.e820.len().min(map.nr_entries as usize);
                for (index, entry) in self.e820.iter().take(count).enumerate() {
                    let size = size_of::<memory::E820Entry>();
                    *at(map.buffer.address() + (index * size) as u64) = *entry;
                }
                map.nr_entries = count as u32;
                Ok(0)
            }
            6 | 1 => {
                let reservation = at::<memory::Reservation<'_>>(argument);
                let Some(guest) = self.guests.get_mut(&reservation.domid.0) else {
                    return Ok(0);
                };
                if !self.privileged {
                    return Ok(0);
                }
                for index in 0..reservation.nr_extents {
                    let gfn = element::<u64>(reservation.extent_start.address(), index as usize);
                    let done = if command == 1 {
                        guest.pages.remove(&gfn)
                    } else {
                        guest.pages.len() < guest.max_pages && guest.pages.insert(gfn)
                    };
                    if !done {
                        return Ok(index);
                    }
                }
                Ok(reservation.nr_extents)
            }
            _ => Err(Errno::ENOSYS),
        }
    }

    fn keep_page(&mut self, domain: u16, id: u16, frame: u64, page: &impl SharedPage) {
        if let Some(server) = self.server(domain, id) {
            let mut bytes = vec![0; 4096];
            page.read_bytes(0, &mut bytes);
            server.pages.insert(frame, bytes);
        }
    }

    fn restore_page(
        &mut self,
        domain: u16,
        id: u16,
        frame: u64,
        page: &impl SharedPage,
    ) -> Result<(), Errno> {
        let server = self.server(domain, id).ok_or(Errno::ENOENT)?;
        if frame == 0 && server.buffered_port.is_none() {
            return Err(Errno::ENOENT);
        }
        server.has_pages = true;
        match server.pages.get(&frame) {
            Some(bytes) => page.write_bytes(0, bytes),
            None => page.write_bytes(0, &[0; 4096]),
        }
        Ok(())
    }
}
