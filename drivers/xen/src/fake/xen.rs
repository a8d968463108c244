//! An imitation of Xen, as strict as the real one about what tests rely on.
//!
//! It keeps accounts: every port, mapping, server and populated page is counted, so that a test
//! can compare before and after. It can refuse any one call, counted from the start, which finds
//! everything that forgets to clean up. Semantics after Xen's `common/{ioreq,memory,event_channel}.c`.
#![expect(
    unsafe_code,
    reason = "follows the addresses in hypercalls, as Xen does"
)]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::dm_op::Guest;
use crate::abi::event_channel as evtchn;
use crate::abi::grant_table as gnttab;
use crate::abi::{Errno, Hypercall, hvm, memory, sched};
use crate::detect::Version;
use crate::hypercall::Hypervisor;
use crate::shared::Window;

/// What is at the other end of a port of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Unbound(u16),
    Interdomain(u16, u32),
    Virq(u32),
    Ipi,
}

/// What is mapped at a frame of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapping {
    SharedInfo,
    GrantFrame(u64),
    Foreign(u16, u64),
    Ioreq(u16, u16, u64),
    Grant(u32),
}

/// Everything that can leak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resources {
    pub ports: usize,
    pub mappings: usize,
    pub servers: usize,
    pub ranges: usize,
    pub bound_remote_ports: usize,
}

#[derive(Default)]
pub struct State {
    pub guests: BTreeMap<u16, Guest>,
    pub ports: BTreeMap<u32, End>,
    pub mappings: BTreeMap<u64, Mapping>,
    pub params: BTreeMap<u32, u64>,
    pub sent: Vec<u32>,
    pub unmasked: Vec<u32>,
    pub privileged: bool,
    pub calls: u64,
    pub refuse: Option<(u64, Errno)>,
    pub foreign_errors: BTreeMap<u64, i32>,
    pub domctl_version: u32,
    pub domctl_step: u64,
    pub domctl_answer: Option<u64>,
    pub domctl_calls: Vec<(u32, u64, u64, u64, u32)>,
    pub grants: BTreeMap<u32, i16>,
    pub log: Vec<u8>,
    pub e820: Vec<memory::E820Entry>,
    next_handle: u32,
}

type OnSleep = Box<dyn FnMut()>;

/// The hypervisor of a test.
pub struct FakeXen {
    pub state: RefCell<State>,
    version: Version,
    arena: Window,
    on_sleep: RefCell<Option<OnSleep>>,
}

impl FakeXen {
    /// A privileged caller with a guest d5 of two vCPUs, on Xen 4.20; frames of `arena` are the
    /// caller's address space.
    pub fn new(arena: Window) -> Self {
        let state = State {
            privileged: true,
            guests: BTreeMap::from([(5, Guest::new(2))]),
            domctl_version: 0x17,
            domctl_step: 64,
            ..State::default()
        };
        Self {
            state: RefCell::new(state),
            version: Version {
                major: 4,
                minor: 20,
            },
            arena,
            on_sleep: RefCell::new(None),
        }
    }

    /// The same on another release.
    pub fn of_version(mut self, major: u16, minor: u16) -> Self {
        self.version = Version { major, minor };
        self
    }

    /// Calls `hook` whenever the caller yields or polls: the others get to run.
    pub fn on_sleep(&self, hook: impl FnMut() + 'static) {
        self.on_sleep.replace(Some(Box::new(hook)));
    }

    /// Refuses the call number `nth` from now on, once.
    pub fn refuse_nth(&self, nth: u64, errno: Errno) {
        let mut state = self.state.borrow_mut();
        state.refuse = Some((state.calls + nth, errno));
    }

    /// Whether the refusal asked for has not been reached.
    pub fn refusal_left(&self) -> bool {
        self.state.borrow().refuse.is_some()
    }

    /// Counts everything that can leak.
    pub fn resources(&self) -> Resources {
        let state = self.state.borrow();
        let servers = || {
            state
                .guests
                .values()
                .flat_map(|guest| guest.servers.iter().flatten())
        };
        Resources {
            ports: state.ports.len(),
            mappings: state.mappings.len(),
            servers: servers().count(),
            ranges: servers().map(|server| server.ranges.len()).sum(),
            bound_remote_ports: state
                .guests
                .values()
                .map(|guest| guest.ports.values().filter(|bound| **bound).count())
                .sum(),
        }
    }

    fn sleep(&self) {
        let hook = self.on_sleep.take();
        if let Some(mut hook) = hook {
            hook();
            self.on_sleep.replace(Some(hook));
        }
    }
}

impl std::fmt::Debug for FakeXen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FakeXen {}", self.version)
    }
}

/// What Xen would find at an address.
fn at<'a, T>(address: u64) -> &'a mut T {
    let pointer = core::ptr::with_exposed_provenance_mut::<T>(address as usize);
    // SAFETY: the caller of the hypercall guarantees a borrowed `T` there until it returns.
    unsafe { &mut *pointer }
}

/// What Xen would find in an array.
pub(super) fn element<T: Copy>(address: u64, index: usize) -> T {
    *at::<T>(address + (index * size_of::<T>()) as u64)
}

pub(super) fn at_address<'a, T>(address: u64) -> &'a mut T {
    at(address)
}

fn result(outcome: Result<u64, Errno>) -> i64 {
    match outcome {
        Ok(value) => value as i64,
        Err(Errno(number)) => -i64::from(number),
    }
}

impl Hypervisor for FakeXen {
    unsafe fn call(&self, number: Hypercall, arguments: [u64; 5]) -> i64 {
        {
            let mut state = self.state.borrow_mut();
            state.calls += 1;
            if let Some((nth, errno)) = state.refuse
                && nth == state.calls
            {
                state.refuse = None;
                return result(Err(errno));
            }
        }
        let [first, second, third, ..] = arguments;
        if number == Hypercall::SchedOp {
            return self.sched_op(first, second);
        }
        let mut state = self.state.borrow_mut();
        result(match number {
            Hypercall::EventChannelOp => state.event_channel_op(first, second),
            Hypercall::MemoryOp => state.memory_op(self.version, self.arena, first, second),
            Hypercall::HvmOp => state.hvm_op(first, second),
            Hypercall::DmOp => state.dm_op(self.arena, first as u16, second, third),
            Hypercall::GrantTableOp => state.grant_table_op(first, second),
            Hypercall::Domctl => state.domctl(first),
            Hypercall::ConsoleIo => {
                let bytes = (0..second as usize).map(|index| element::<u8>(third, index));
                state.log.extend(bytes);
                Ok(0)
            }
            Hypercall::XenVersion => match first {
                0 => Ok(u64::from(self.version.major) << 16 | u64::from(self.version.minor)),
                6 => {
                    at::<crate::abi::version::FeatureInfo>(second).submap = 1 << 8 | 1 << 9;
                    Ok(0)
                }
                _ => Err(Errno::ENOSYS),
            },
            Hypercall::SchedOp => Err(Errno::ENOSYS),
        })
    }

    fn version(&self) -> Version {
        self.version
    }
}

impl FakeXen {
    fn sched_op(&self, command: u64, argument: u64) -> i64 {
        match command {
            sched::YIELD | sched::BLOCK => {
                self.sleep();
                0
            }
            3 => {
                assert!(at::<sched::Poll<'_>>(argument).nr_ports <= 128);
                self.sleep();
                0
            }
            2 => 0,
            _ => result(Err(Errno::ENOSYS)),
        }
    }
}

impl State {
    fn new_port(&mut self, end: End) -> u32 {
        let port = (1..)
            .find(|port| !self.ports.contains_key(port))
            .unwrap_or(1);
        self.ports.insert(port, end);
        port
    }

    fn event_channel_op(&mut self, command: u64, argument: u64) -> Result<u64, Errno> {
        match command {
            0 => {
                let bind = at::<evtchn::BindInterdomain>(argument);
                let guest = self
                    .guests
                    .get_mut(&bind.remote_dom.0)
                    .ok_or(Errno::ESRCH)?;
                let bound = guest
                    .ports
                    .get_mut(&bind.remote_port)
                    .ok_or(Errno::EINVAL)?;
                if *bound {
                    return Err(Errno::EINVAL);
                }
                *bound = true;
                bind.local_port =
                    self.new_port(End::Interdomain(bind.remote_dom.0, bind.remote_port));
                Ok(0)
            }
            1 => {
                let bind = at::<evtchn::BindVirq>(argument);
                bind.port = self.new_port(End::Virq(bind.virq));
                Ok(0)
            }
            3 => {
                let port = at::<evtchn::Close>(argument).port;
                let end = self.ports.remove(&port).ok_or(Errno::EINVAL)?;
                if let End::Interdomain(domain, remote) = end
                    && let Some(guest) = self.guests.get_mut(&domain)
                    && let Some(bound) = guest.ports.get_mut(&remote)
                {
                    *bound = false;
                }
                Ok(0)
            }
            4 => {
                let port = at::<evtchn::Send>(argument).port;
                if !self.ports.contains_key(&port) {
                    return Err(Errno::EINVAL);
                }
                self.sent.push(port);
                Ok(0)
            }
            5 => {
                let status = at::<evtchn::Status>(argument);
                let last = self.ports.keys().next_back().copied().unwrap_or(0);
                if status.port > last.next_multiple_of(64) {
                    return Err(Errno::EINVAL);
                }
                (status.status, status.remote_dom, status.remote_port) =
                    match self.ports.get(&status.port) {
                        None => (evtchn::STATUS_CLOSED, 0, 0),
                        Some(End::Unbound(domain)) => (evtchn::STATUS_UNBOUND, *domain, 0),
                        Some(End::Interdomain(domain, port)) => {
                            (evtchn::STATUS_INTERDOMAIN, *domain, *port)
                        }
                        Some(End::Virq(_)) => (evtchn::STATUS_VIRQ, 0, 0),
                        Some(End::Ipi) => (evtchn::STATUS_IPI, 0, 0),
                    };
                Ok(0)
            }
            6 => {
                let alloc = at::<evtchn::AllocUnbound>(argument);
                alloc.port = self.new_port(End::Unbound(alloc.remote_dom.0));
                Ok(0)
            }
            7 => {
                let bind = at::<evtchn::BindIpi>(argument);
                bind.port = self.new_port(End::Ipi);
                Ok(0)
            }
            8 => Ok(0),
            9 => {
                self.unmasked.push(at::<evtchn::Unmask>(argument).port);
                Ok(0)
            }
            _ => Err(Errno::ENOSYS),
        }
    }

    fn hvm_op(&mut self, command: u64, argument: u64) -> Result<u64, Errno> {
        match command {
            0 => {
                let param = at::<hvm::SetParam>(argument);
                self.params.insert(param.index, param.value);
                Ok(0)
            }
            1 => {
                let param = at::<hvm::GetParam>(argument);
                param.value = self.params.get(&param.index).copied().unwrap_or(0);
                Ok(0)
            }
            23 => Ok(0),
            _ => Err(Errno::ENOSYS),
        }
    }

    fn grant_table_op(&mut self, command: u64, argument: u64) -> Result<u64, Errno> {
        match command {
            0 => {
                let map = at::<gnttab::MapGrantRef>(argument);
                map.status = self.grants.get(&map.r#ref).copied().unwrap_or(-3);
                if map.status == 0 {
                    self.next_handle += 1;
                    map.handle = self.next_handle;
                    self.mappings
                        .insert(map.host_addr / 4096, Mapping::Grant(map.handle));
                }
                Ok(0)
            }
            1 => {
                let unmap = at::<gnttab::UnmapGrantRef>(argument);
                let frame = unmap.host_addr / 4096;
                unmap.status = if self.mappings.get(&frame) == Some(&Mapping::Grant(unmap.handle)) {
                    self.mappings.remove(&frame);
                    0
                } else {
                    -4
                };
                Ok(0)
            }
            6 => {
                let query = at::<gnttab::QuerySize>(argument);
                (query.nr_frames, query.max_nr_frames, query.status) = (1, 2, 0);
                Ok(0)
            }
            _ => Err(Errno::ENOSYS),
        }
    }

    fn domctl(&mut self, argument: u64) -> Result<u64, Errno> {
        let map = at::<crate::abi::domctl::MemoryMapping>(argument);
        if map.interface_version != self.domctl_version {
            return Err(Errno::EACCES);
        }
        assert_eq!(map.cmd, 39);
        self.domctl_calls.push((
            u32::from(map.domain.0),
            map.first_gfn,
            map.first_mfn,
            map.nr_mfns,
            map.add_mapping,
        ));
        if let Some(answer) = self.domctl_answer {
            return Ok(answer);
        }
        Ok(if map.nr_mfns > self.domctl_step {
            self.domctl_step
        } else {
            0
        })
    }
}

/// Frames a guest starts with.
pub(super) fn some_pages() -> BTreeSet<u64> {
    (0x100..0x400).collect()
}
