//! The device-model half of the imitation: guests and their IOREQ servers.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::offset_of;

use super::xen::{Mapping, State, at_address, element, some_pages};
use crate::abi::dm_op::{self, Operation};
use crate::abi::ioreq::Ioreq;
use crate::abi::{DomainId, Errno};
use crate::shared::{SharedPage, Window};

/// A server of a guest.
#[derive(Default)]
pub struct Server {
    pub foreign: bool,
    pub enabled: bool,
    pub has_pages: bool,
    pub buffered_port: Option<u32>,
    pub vcpu_ports: Vec<u32>,
    pub ranges: BTreeSet<(u32, u64, u64)>,
    pub pages: BTreeMap<u64, Vec<u8>>,
}

/// A guest of the caller.
pub struct Guest {
    pub hvm: bool,
    pub vcpus: u32,
    pub servers: [Option<Server>; 8],
    /// Ports made for the caller, and whether it has bound them.
    pub ports: BTreeMap<u32, bool>,
    pub pages: BTreeSet<u64>,
    pub max_pages: usize,
    pub msis: Vec<(u64, u32)>,
    pub types: BTreeMap<u64, u16>,
    pub type_owner: Option<u16>,
    pub operations: Vec<Vec<u8>>,
}

impl Guest {
    pub fn new(vcpus: u32) -> Self {
        // Server 0 is QEMU's.
        let mut servers = [const { None }; 8];
        servers[0] = Some(Server {
            foreign: true,
            ..Server::default()
        });
        let pages = some_pages();
        Self {
            hvm: true,
            vcpus,
            servers,
            ports: BTreeMap::new(),
            max_pages: pages.len() + 4,
            pages,
            msis: Vec::new(),
            types: BTreeMap::new(),
            type_owner: None,
            operations: Vec::new(),
        }
    }

    fn new_port(&mut self) -> u32 {
        let port = (10..)
            .find(|port| !self.ports.contains_key(port))
            .unwrap_or(10);
        self.ports.insert(port, false);
        port
    }

    /// A server of the caller's own.
    fn own(&mut self, id: u16) -> Result<&mut Server, Errno> {
        match self.servers.get_mut(usize::from(id)) {
            Some(Some(server)) if server.foreign => Err(Errno::EPERM),
            Some(Some(server)) => Ok(server),
            _ => Err(Errno::ENOENT),
        }
    }
}

impl State {
    pub fn server(&mut self, domain: u16, id: u16) -> Option<&mut Server> {
        self.guests.get_mut(&domain)?.own(id).ok()
    }

    pub fn dm_op(
        &mut self,
        arena: Window,
        domain: u16,
        buffers: u64,
        list: u64,
    ) -> Result<u64, Errno> {
        let guest = self.guests.get_mut(&domain).ok_or(Errno::ESRCH)?;
        if !guest.hvm {
            return Err(Errno::EINVAL);
        }
        if !self.privileged || DomainId(domain) == DomainId::SELF {
            return Err(Errno::EPERM);
        }
        let (address, size) = (element::<u64>(list, 0), element::<u64>(list, 1));
        let used = 8 + own_size(element::<u32>(address, 0));
        if (size as usize) < used {
            return Err(Errno::EFAULT);
        }
        guest.operations.push(
            (0..used)
                .map(|index| element::<u8>(address, index))
                .collect(),
        );
        let body = address + 8;
        assert_eq!(element::<u32>(address, 1), 0, "pad");
        match element::<u32>(address, 0) {
            dm_op::NrVcpus::NUMBER => {
                at_address::<dm_op::NrVcpus>(body).vcpus = guest.vcpus;
                Ok(0)
            }
            dm_op::CreateIoreqServer::NUMBER => {
                let create = at_address::<dm_op::CreateIoreqServer>(body);
                let id = guest
                    .servers
                    .iter()
                    .position(Option::is_none)
                    .ok_or(Errno::ENOSPC)?;
                let vcpu_ports = (0..guest.vcpus).map(|_| guest.new_port()).collect();
                let buffered_port = (create.handle_bufioreq != 0).then(|| guest.new_port());
                guest.servers[id] = Some(Server {
                    vcpu_ports,
                    buffered_port,
                    ..Server::default()
                });
                create.id = id as u16;
                Ok(0)
            }
            dm_op::GetIoreqServerInfo::NUMBER => {
                let info = at_address::<dm_op::GetIoreqServerInfo>(body);
                assert_eq!(info.flags, dm_op::NO_GFNS);
                if let Some(port) = guest.own(info.id)?.buffered_port {
                    info.bufioreq_port = port;
                }
                Ok(0)
            }
            dm_op::MapIoRange::NUMBER => {
                let range = at_address::<dm_op::MapIoRange>(body);
                let ranges = &mut guest.own(range.id)?.ranges;
                if range.start > range.end {
                    return Err(Errno::EINVAL);
                }
                let overlaps = ranges.iter().any(|(kind, start, end)| {
                    *kind == range.r#type && *start <= range.end && range.start <= *end
                });
                if overlaps {
                    return Err(Errno::EEXIST);
                }
                ranges.insert((range.r#type, range.start, range.end));
                Ok(0)
            }
            dm_op::UnmapIoRange::NUMBER => {
                let range = at_address::<dm_op::UnmapIoRange>(body);
                let ranges = &mut guest.own(range.id)?.ranges;
                ranges
                    .remove(&(range.r#type, range.start, range.end))
                    .then_some(0)
                    .ok_or(Errno::ENOENT)
            }
            dm_op::SetIoreqServerState::NUMBER => {
                let change = at_address::<dm_op::SetIoreqServerState>(body);
                let server = guest.own(change.id)?;
                server.enabled = change.enabled != 0;
                let ports = server.vcpu_ports.clone();
                if change.enabled == 0 || !server.has_pages {
                    return Ok(0);
                }
                let frame = self
                    .mappings
                    .iter()
                    .find(|(_, mapping)| **mapping == Mapping::Ioreq(domain, change.id, 1))
                    .map(|(frame, _)| *frame);
                if let Some(page) = frame.and_then(|frame| arena.page(frame - arena.first())) {
                    for (vcpu, port) in ports.iter().enumerate() {
                        let slot = vcpu * size_of::<Ioreq>();
                        page.store_u32(slot + offset_of!(Ioreq, vp_eport), *port);
                    }
                }
                Ok(0)
            }
            dm_op::DestroyIoreqServer::NUMBER => {
                let id = at_address::<dm_op::DestroyIoreqServer>(body).id;
                let server = guest.own(id)?;
                let mut ports = server.vcpu_ports.clone();
                ports.extend(server.buffered_port);
                for port in ports {
                    guest.ports.remove(&port);
                }
                guest.servers[usize::from(id)] = None;
                Ok(0)
            }
            dm_op::InjectMsi::NUMBER => {
                let msi = at_address::<dm_op::InjectMsi>(body);
                guest.msis.push((msi.addr, msi.data));
                Ok(0)
            }
            dm_op::SetMemType::NUMBER => {
                let change = at_address::<dm_op::SetMemType>(body);
                for index in 0..u64::from(change.nr) {
                    guest
                        .types
                        .insert(change.first_pfn + index, change.mem_type);
                }
                Ok(0)
            }
            dm_op::MapMemTypeToIoreqServer::NUMBER => {
                let map = at_address::<dm_op::MapMemTypeToIoreqServer>(body);
                guest.own(map.id)?;
                match (map.flags, guest.type_owner) {
                    (0, Some(owner)) if owner == map.id => guest.type_owner = None,
                    (0, _) => return Err(Errno::EINVAL),
                    (_, Some(_)) => return Err(Errno::EBUSY),
                    (_, None) => guest.type_owner = Some(map.id),
                }
                Ok(0)
            }
            dm_op::ModifiedMemory::NUMBER => {
                if buffers != 2 {
                    return Err(Errno::EINVAL);
                }
                let count = at_address::<dm_op::ModifiedMemory>(body).nr_extents;
                let size = element::<u64>(list, 3);
                (size == u64::from(count) * 16)
                    .then_some(0)
                    .ok_or(Errno::EINVAL)
            }
            dm_op::SetPciIntxLevel::NUMBER
            | dm_op::RemoteShutdown::NUMBER
            | dm_op::RelocateMemory::NUMBER => Ok(0),
            _ => Err(Errno::EOPNOTSUPP),
        }
    }
}

/// Bytes that Xen copies of an operation's own structure (`arch/x86/hvm/dm.c:dm_op`).
fn own_size(number: u32) -> usize {
    match number {
        dm_op::CreateIoreqServer::NUMBER => size_of::<dm_op::CreateIoreqServer>(),
        dm_op::GetIoreqServerInfo::NUMBER => size_of::<dm_op::GetIoreqServerInfo>(),
        dm_op::MapIoRange::NUMBER => size_of::<dm_op::MapIoRange>(),
        dm_op::UnmapIoRange::NUMBER => size_of::<dm_op::UnmapIoRange>(),
        dm_op::SetIoreqServerState::NUMBER => size_of::<dm_op::SetIoreqServerState>(),
        dm_op::DestroyIoreqServer::NUMBER => size_of::<dm_op::DestroyIoreqServer>(),
        dm_op::SetPciIntxLevel::NUMBER => size_of::<dm_op::SetPciIntxLevel>(),
        dm_op::ModifiedMemory::NUMBER => size_of::<dm_op::ModifiedMemory>(),
        dm_op::SetMemType::NUMBER => size_of::<dm_op::SetMemType>(),
        dm_op::InjectMsi::NUMBER => size_of::<dm_op::InjectMsi>(),
        dm_op::MapMemTypeToIoreqServer::NUMBER => size_of::<dm_op::MapMemTypeToIoreqServer>(),
        dm_op::RemoteShutdown::NUMBER => size_of::<dm_op::RemoteShutdown>(),
        dm_op::RelocateMemory::NUMBER => size_of::<dm_op::RelocateMemory>(),
        dm_op::NrVcpus::NUMBER => size_of::<dm_op::NrVcpus>(),
        _ => 0,
    }
}
