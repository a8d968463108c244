//! Layouts and numbers against Xen's own headers, as the C compiler sees them.
//!
//! A C program that prints sizes, offsets and constants is compiled from libxen-dev's headers;
//! each line must say what our structures say.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::mem::offset_of;
use std::path::Path;
use std::process::Command;

use xen::abi::{
    Errno, Hypercall, console, dm_op, domctl, event_channel, grant_table, hvm, ioreq, memory,
    sched, shared_info, version, xenstore,
};

const HEADER: &str = "/usr/include/xen/hvm/dm_op.h";

/// Expressions in C and what they must be.
#[derive(Default)]
struct Facts {
    numbers: BTreeMap<String, u64>,
}

impl Facts {
    fn number(&mut self, expression: &str, value: impl Into<i128>) {
        let value = value.into() as u64;
        let earlier = self.numbers.insert(expression.to_string(), value);
        assert!(
            earlier.is_none_or(|known| known == value),
            "{expression} twice"
        );
    }
}

/// `structure!(facts, "struct c", Type { c_path: field, … })`: size, and the offset of each field.
macro_rules! structure {
    ($facts:expr, $c:literal, $type:ty { $($path:literal: $field:ident),* $(,)? }) => {
        $facts.number(concat!("sizeof(", $c, ")"), size_of::<$type>() as u64);
        structure!(@fields $facts, $c, $type { $($path: $field),* });
    };
    (@fields $facts:expr, $c:literal, $type:ty { $($path:literal: $field:ident),* $(,)? }) => {
        $($facts.number(
            concat!("offsetof(", $c, ", ", $path, ")"),
            offset_of!($type, $field) as u64,
        );)*
    };
}

/// `same!(facts, "struct c", Type { field, … })`: fields of the same name in both.
macro_rules! same {
    ($facts:expr, $c:literal, $type:ty { $($field:ident),* $(,)? }) => {
        $facts.number(concat!("sizeof(", $c, ")"), size_of::<$type>() as u64);
        $($facts.number(
            &format!("offsetof({}, {})", $c, stringify!($field).trim_start_matches("r#")),
            offset_of!($type, $field) as u64,
        );)*
    };
}

fn event_channels(facts: &mut Facts) {
    use event_channel::*;
    same!(
        facts,
        "struct evtchn_alloc_unbound",
        AllocUnbound {
            dom,
            remote_dom,
            port
        }
    );
    same!(
        facts,
        "struct evtchn_bind_interdomain",
        BindInterdomain {
            remote_dom,
            remote_port,
            local_port,
        }
    );
    same!(
        facts,
        "struct evtchn_bind_virq",
        BindVirq { virq, vcpu, port }
    );
    same!(facts, "struct evtchn_bind_ipi", BindIpi { vcpu, port });
    same!(facts, "struct evtchn_bind_vcpu", BindVcpu { port, vcpu });
    same!(facts, "struct evtchn_close", Close { port });
    same!(facts, "struct evtchn_send", Send { port });
    same!(facts, "struct evtchn_unmask", Unmask { port });
    structure!(facts, "struct evtchn_status", Status {
        "dom": dom, "port": port, "status": status, "vcpu": vcpu,
        "u.interdomain.dom": remote_dom, "u.interdomain.port": remote_port,
        "u.unbound.dom": remote_dom,
    });
    command::<AllocUnbound>(facts, "__HYPERVISOR_event_channel_op");
    command::<BindInterdomain>(facts, "__HYPERVISOR_event_channel_op");
    command::<BindVirq>(facts, "__HYPERVISOR_event_channel_op");
    command::<BindIpi>(facts, "__HYPERVISOR_event_channel_op");
    command::<BindVcpu>(facts, "__HYPERVISOR_event_channel_op");
    command::<Close>(facts, "__HYPERVISOR_event_channel_op");
    command::<Send>(facts, "__HYPERVISOR_event_channel_op");
    command::<Status>(facts, "__HYPERVISOR_event_channel_op");
    command::<Unmask>(facts, "__HYPERVISOR_event_channel_op");
    facts.number("EVTCHN_2L_NR_CHANNELS", NR_CHANNELS);
    facts.number("EVTCHNSTAT_closed", STATUS_CLOSED);
    facts.number("EVTCHNSTAT_unbound", STATUS_UNBOUND);
    facts.number("EVTCHNSTAT_interdomain", STATUS_INTERDOMAIN);
    facts.number("EVTCHNSTAT_pirq", STATUS_PIRQ);
    facts.number("EVTCHNSTAT_virq", STATUS_VIRQ);
    facts.number("EVTCHNSTAT_ipi", STATUS_IPI);
    facts.number("VIRQ_TIMER", VIRQ_TIMER);
    facts.number("VIRQ_DEBUG", VIRQ_DEBUG);
}

/// The command's number under the name we print for it, and its hypercall.
fn command<C: xen::abi::Command>(facts: &mut Facts, hypercall: &str) {
    facts.number(C::NAME, C::NUMBER);
    facts.number(hypercall, C::HYPERCALL as u32);
}

fn memory_operations(facts: &mut Facts) {
    use memory::*;
    same!(
        facts,
        "struct xen_add_to_physmap",
        AddToPhysmap {
            domid,
            size,
            space,
            idx,
            gpfn
        }
    );
    structure!(facts, "struct xen_add_to_physmap_batch", AddToPhysmapBatch<'_> {
        "domid": domid, "space": space, "size": size, "u.foreign_domid": foreign_domid,
        "idxs": idxs, "gpfns": gpfns, "errs": errs,
    });
    same!(
        facts,
        "struct xen_remove_from_physmap",
        RemoveFromPhysmap { domid, gpfn }
    );
    same!(facts, "struct xen_mem_acquire_resource", AcquireResource<'_> {
        domid, r#type, id, nr_frames, pad, frame, frame_list,
    });
    same!(facts, "struct xen_memory_map", MemoryMap<'_> { nr_entries, buffer });
    same!(facts, "struct xen_memory_reservation", Reservation<'_> {
        extent_start, nr_extents, extent_order, mem_flags, domid,
    });
    // Xen's headers name the firmware's layout without declaring it: 8 + 8 + 4 bytes, packed.
    assert_eq!(size_of::<E820Entry>(), 20);
    command::<AddToPhysmap>(facts, "__HYPERVISOR_memory_op");
    command::<AddToPhysmapBatch<'_>>(facts, "__HYPERVISOR_memory_op");
    command::<RemoveFromPhysmap>(facts, "__HYPERVISOR_memory_op");
    command::<AcquireResource<'_>>(facts, "__HYPERVISOR_memory_op");
    command::<MemoryMap<'_>>(facts, "__HYPERVISOR_memory_op");
    command::<PopulatePhysmap<'_>>(facts, "__HYPERVISOR_memory_op");
    command::<DecreaseReservation<'_>>(facts, "__HYPERVISOR_memory_op");
    assert_eq!(
        size_of::<PopulatePhysmap<'_>>(),
        size_of::<Reservation<'_>>()
    );
    assert_eq!(
        size_of::<DecreaseReservation<'_>>(),
        size_of::<Reservation<'_>>()
    );
    facts.number("XENMAPSPACE_shared_info", MAPSPACE_SHARED_INFO);
    facts.number("XENMAPSPACE_grant_table", MAPSPACE_GRANT_TABLE);
    facts.number("XENMAPSPACE_gmfn_foreign", MAPSPACE_GMFN_FOREIGN);
    facts.number("XENMEM_resource_ioreq_server", RESOURCE_IOREQ_SERVER);
    facts.number(
        "XENMEM_resource_ioreq_server_frame_bufioreq",
        RESOURCE_FRAME_BUFIOREQ,
    );
    facts.number(
        "XENMEM_resource_ioreq_server_frame_ioreq(0)",
        RESOURCE_FRAME_IOREQ,
    );
}

fn grants(facts: &mut Facts) {
    use grant_table::*;
    same!(
        facts,
        "struct grant_entry_v1",
        GrantEntryV1 {
            flags,
            domid,
            frame
        }
    );
    same!(
        facts,
        "struct gnttab_map_grant_ref",
        MapGrantRef {
            host_addr,
            flags,
            r#ref,
            dom,
            status,
            handle,
            dev_bus_addr,
        }
    );
    same!(
        facts,
        "struct gnttab_unmap_grant_ref",
        UnmapGrantRef {
            host_addr,
            dev_bus_addr,
            handle,
            status,
        }
    );
    same!(
        facts,
        "struct gnttab_query_size",
        QuerySize {
            dom,
            nr_frames,
            max_nr_frames,
            status,
        }
    );
    command::<MapGrantRef>(facts, "__HYPERVISOR_grant_table_op");
    command::<UnmapGrantRef>(facts, "__HYPERVISOR_grant_table_op");
    command::<QuerySize>(facts, "__HYPERVISOR_grant_table_op");
    facts.number("GTF_permit_access", GTF_PERMIT_ACCESS);
    facts.number("GTF_readonly", GTF_READONLY);
    facts.number("GTF_reading", GTF_READING);
    facts.number("GTF_writing", GTF_WRITING);
    facts.number("GNTMAP_host_map", GNTMAP_HOST_MAP);
    facts.number("GNTMAP_readonly", GNTMAP_READONLY);
    facts.number("GNTTAB_NR_RESERVED_ENTRIES", NR_RESERVED_ENTRIES);
    facts.number("GNTST_okay", STATUS_OKAY);
    for (number, name, _) in STATUS_NAMES {
        facts.number(name, i64::from(*number));
    }
}

fn scheduling_and_parameters(facts: &mut Facts) {
    same!(facts, "struct sched_poll", sched::Poll<'_> { ports, nr_ports, timeout });
    same!(facts, "struct sched_shutdown", sched::Shutdown { reason });
    same!(
        facts,
        "struct sched_watchdog",
        sched::Watchdog { id, timeout }
    );
    command::<sched::Poll<'_>>(facts, "__HYPERVISOR_sched_op");
    command::<sched::Shutdown>(facts, "__HYPERVISOR_sched_op");
    command::<sched::Watchdog>(facts, "__HYPERVISOR_sched_op");
    facts.number("SCHEDOP_yield", sched::YIELD);
    facts.number("SCHEDOP_block", sched::BLOCK);
    for (name, reason) in [
        ("poweroff", sched::ShutdownReason::PowerOff),
        ("reboot", sched::ShutdownReason::Reboot),
        ("suspend", sched::ShutdownReason::Suspend),
        ("crash", sched::ShutdownReason::Crash),
        ("watchdog", sched::ShutdownReason::Watchdog),
        ("soft_reset", sched::ShutdownReason::SoftReset),
    ] {
        facts.number(&format!("SHUTDOWN_{name}"), reason as u32);
    }
    same!(
        facts,
        "struct xen_hvm_param",
        hvm::GetParam {
            domid,
            pad,
            index,
            value
        }
    );
    same!(
        facts,
        "struct xen_hvm_param",
        hvm::SetParam {
            domid,
            pad,
            index,
            value
        }
    );
    same!(
        facts,
        "struct xen_hvm_evtchn_upcall_vector",
        hvm::EvtchnUpcallVector { vcpu, vector }
    );
    command::<hvm::GetParam>(facts, "__HYPERVISOR_hvm_op");
    command::<hvm::SetParam>(facts, "__HYPERVISOR_hvm_op");
    command::<hvm::EvtchnUpcallVector>(facts, "__HYPERVISOR_hvm_op");
    for (name, parameter) in [
        ("CALLBACK_IRQ", hvm::Parameter::CallbackIrq),
        ("STORE_PFN", hvm::Parameter::StorePfn),
        ("STORE_EVTCHN", hvm::Parameter::StoreEvtchn),
        ("CONSOLE_PFN", hvm::Parameter::ConsolePfn),
        ("CONSOLE_EVTCHN", hvm::Parameter::ConsoleEvtchn),
        ("IOREQ_SERVER_PFN", hvm::Parameter::IoreqServerPfn),
        ("NR_IOREQ_SERVER_PAGES", hvm::Parameter::NrIoreqServerPages),
    ] {
        facts.number(&format!("HVM_PARAM_{name}"), parameter as u32);
    }
    facts.number("HVM_PARAM_CALLBACK_TYPE_VECTOR", hvm::CALLBACK_TYPE_VECTOR);
    for (name, kind) in [
        ("ram_rw", hvm::MemoryType::RamRw),
        ("ram_ro", hvm::MemoryType::RamRo),
        ("mmio_dm", hvm::MemoryType::MmioDm),
        ("ioreq_server", hvm::MemoryType::IoreqServer),
    ] {
        facts.number(&format!("HVMMEM_{name}"), kind as u16);
    }
    facts.number("HVM_IOREQSRV_BUFIOREQ_OFF", hvm::Buffering::Off as u8);
    facts.number("HVM_IOREQSRV_BUFIOREQ_LEGACY", hvm::Buffering::Legacy as u8);
    facts.number("HVM_IOREQSRV_BUFIOREQ_ATOMIC", hvm::Buffering::Atomic as u8);
}

fn device_model_operations(facts: &mut Facts) {
    use dm_op::*;
    /// Size and offsets within `struct xen_dm_op`, and the number.
    macro_rules! operation {
        ($member:literal, $type:ident { $($field:ident),* }) => {
            facts.number(
                concat!("sizeof(((struct xen_dm_op *)0)->u.", $member, ")"),
                size_of::<$type>() as u64,
            );
            $(facts.number(
                &format!(
                    "offsetof(struct xen_dm_op, u.{}.{})",
                    $member,
                    stringify!($field).trim_start_matches("r#"),
                ),
                (offset_of!(Op<$type>, u) + offset_of!($type, $field)) as u64,
            );)*
            facts.number($type::NAME, $type::NUMBER);
        };
    }
    operation!(
        "create_ioreq_server",
        CreateIoreqServer {
            handle_bufioreq,
            pad,
            id
        }
    );
    operation!(
        "get_ioreq_server_info",
        GetIoreqServerInfo {
            id,
            flags,
            bufioreq_port,
            ioreq_gfn,
            bufioreq_gfn
        }
    );
    operation!(
        "map_io_range_to_ioreq_server",
        MapIoRange {
            id,
            pad,
            r#type,
            start,
            end
        }
    );
    operation!(
        "unmap_io_range_from_ioreq_server",
        UnmapIoRange {
            id,
            pad,
            r#type,
            start,
            end
        }
    );
    operation!(
        "set_ioreq_server_state",
        SetIoreqServerState { id, enabled, pad }
    );
    operation!("destroy_ioreq_server", DestroyIoreqServer { id, pad });
    operation!(
        "set_pci_intx_level",
        SetPciIntxLevel {
            domain,
            bus,
            device,
            intx,
            level
        }
    );
    operation!("modified_memory", ModifiedMemory { nr_extents, opaque });
    operation!(
        "set_mem_type",
        SetMemType {
            nr,
            mem_type,
            pad,
            first_pfn
        }
    );
    operation!("inject_msi", InjectMsi { data, pad, addr });
    operation!(
        "map_mem_type_to_ioreq_server",
        MapMemTypeToIoreqServer {
            id,
            r#type,
            flags,
            opaque
        }
    );
    operation!("remote_shutdown", RemoteShutdown { reason });
    operation!(
        "relocate_memory",
        RelocateMemory {
            size,
            pad,
            src_gfn,
            dst_gfn
        }
    );
    operation!("nr_vcpus", NrVcpus { vcpus });
    same!(
        facts,
        "struct xen_dm_op_modified_memory_extent",
        ModifiedMemoryExtent { nr, pad, first_pfn }
    );
    same!(facts, "struct xen_dm_op_buf", Buf<'_> { h, size });
    facts.number(
        "offsetof(struct xen_dm_op, pad)",
        offset_of!(Op<NrVcpus>, pad) as u64,
    );
    facts.number("__HYPERVISOR_dm_op", Hypercall::DmOp as u32);
    facts.number("XEN_DMOP_no_gfns", NO_GFNS);
    facts.number("XEN_DMOP_IO_RANGE_PORT", IO_RANGE_PORT);
    facts.number("XEN_DMOP_IO_RANGE_MEMORY", IO_RANGE_MEMORY);
    facts.number("XEN_DMOP_IO_RANGE_PCI", IO_RANGE_PCI);
    facts.number("XEN_DMOP_IOREQ_MEM_ACCESS_WRITE", IOREQ_MEM_ACCESS_WRITE);
    facts.number(
        "XEN_DMOP_PCI_SBDF(0x12, 0x34, 0x15, 5)",
        xen::device_model::Sbdf::new(0x12, 0x34, 0x15, 5).0,
    );
}

fn requests(facts: &mut Facts) {
    use ioreq::*;
    same!(
        facts,
        "struct ioreq",
        Ioreq {
            addr,
            data,
            count,
            size,
            vp_eport,
            _pad0,
            r#type
        }
    );
    same!(
        facts,
        "struct buffered_iopage",
        BufferedIopage {
            read_pointer,
            write_pointer,
            buf_ioreq,
        }
    );
    facts.number("sizeof(struct buf_ioreq)", size_of::<BufIoreq>() as u64);
    facts.number(
        "offsetof(struct buf_ioreq, data)",
        offset_of!(BufIoreq, data) as u64,
    );
    // Bit-fields have no offset: write one, see which bits of which byte it is.
    let bits = offset_of!(Ioreq, bits) as u64;
    facts.number("IOREQ_BIT(state, 0xf)", bits << 8 | u64::from(STATE_MASK));
    facts.number(
        "IOREQ_BIT(data_is_ptr, 1)",
        bits << 8 | u64::from(DATA_IS_PTR),
    );
    facts.number("IOREQ_BIT(dir, 1)", bits << 8 | u64::from(DIR_READ));
    facts.number("IOREQ_BIT(df, 1)", bits << 8 | u64::from(DF));
    facts.number("BUFIOREQ_WORD(type, 0xff)", 0xff_u64);
    facts.number("BUFIOREQ_WORD(dir, 1)", 1_u64 << 9);
    facts.number("BUFIOREQ_WORD(size, 3)", 3_u64 << 10);
    facts.number("BUFIOREQ_WORD(addr, 0xfffff)", 0xfffff_u64 << 12);
    facts.number("STATE_IOREQ_NONE", STATE_NONE);
    facts.number("STATE_IOREQ_READY", STATE_READY);
    facts.number("STATE_IOREQ_INPROCESS", STATE_INPROCESS);
    facts.number("STATE_IORESP_READY", STATE_RESP_READY);
    facts.number("IOREQ_READ", 1_u64);
    facts.number("IOREQ_TYPE_PIO", TYPE_PIO);
    facts.number("IOREQ_TYPE_COPY", TYPE_COPY);
    facts.number("IOREQ_TYPE_PCI_CONFIG", TYPE_PCI_CONFIG);
    facts.number("IOREQ_TYPE_TIMEOFFSET", TYPE_TIMEOFFSET);
    facts.number("IOREQ_TYPE_INVALIDATE", TYPE_INVALIDATE);
    facts.number("IOREQ_BUFFER_SLOT_NUM", BUFFER_SLOTS);
}

fn shared_pages(facts: &mut Facts) {
    same!(
        facts,
        "struct shared_info",
        shared_info::SharedInfo {
            vcpu_info,
            evtchn_pending,
            evtchn_mask,
            wc_version,
            wc_sec,
            wc_nsec,
            wc_sec_hi,
            arch,
        }
    );
    same!(
        facts,
        "struct arch_shared_info",
        shared_info::ArchSharedInfo {
            max_pfn,
            pfn_to_mfn_frame_list_list,
            nmi_reason,
            p2m_cr3,
            p2m_vaddr,
            p2m_generation,
        }
    );
    structure!(facts, "struct vcpu_info", shared_info::VcpuInfo {
        "evtchn_upcall_pending": evtchn_upcall_pending,
        "evtchn_upcall_mask": evtchn_upcall_mask,
        "evtchn_pending_sel": evtchn_pending_sel, "arch": arch, "time": time,
    });
    same!(
        facts,
        "struct vcpu_time_info",
        shared_info::VcpuTimeInfo {
            version,
            pad0,
            tsc_timestamp,
            system_time,
            tsc_to_system_mul,
            tsc_shift,
            flags,
            pad1,
        }
    );
    facts.number("XEN_LEGACY_MAX_VCPUS", shared_info::LEGACY_MAX_VCPUS as u64);
    same!(
        facts,
        "struct xencons_interface",
        console::ConsoleInterface {
            r#in,
            out,
            in_cons,
            in_prod,
            out_cons,
            out_prod,
        }
    );
    facts.number("__HYPERVISOR_console_io", Hypercall::ConsoleIo as u32);
    facts.number("CONSOLEIO_write", console::CONSOLEIO_WRITE);
    facts.number("CONSOLEIO_read", console::CONSOLEIO_READ);
    // 4.18 appends a field; nothing before it moves.
    structure!(@fields facts, "struct xenstore_domain_interface", xenstore::DomainInterface {
        "req": req, "rsp": rsp, "req_cons": req_cons, "req_prod": req_prod,
        "rsp_cons": rsp_cons, "rsp_prod": rsp_prod, "server_features": server_features,
        "connection": connection, "error": error,
    });
    same!(
        facts,
        "struct xsd_sockmsg",
        xenstore::SockMsg {
            r#type,
            req_id,
            tx_id,
            len
        }
    );
    use xenstore::MessageType as Message;
    for (name, kind) in [
        ("DIRECTORY", Message::Directory),
        ("READ", Message::Read),
        ("GET_PERMS", Message::GetPerms),
        ("WATCH", Message::Watch),
        ("UNWATCH", Message::Unwatch),
        ("TRANSACTION_START", Message::TransactionStart),
        ("TRANSACTION_END", Message::TransactionEnd),
        ("GET_DOMAIN_PATH", Message::GetDomainPath),
        ("WRITE", Message::Write),
        ("MKDIR", Message::Mkdir),
        ("RM", Message::Rm),
        ("SET_PERMS", Message::SetPerms),
        ("WATCH_EVENT", Message::WatchEvent),
        ("ERROR", Message::Error),
        ("RESET_WATCHES", Message::ResetWatches),
        ("DIRECTORY_PART", Message::DirectoryPart),
    ] {
        facts.number(&format!("XS_{name}"), kind as u32);
        assert_eq!(Message::from_number(kind as u32), Some(kind));
    }
    facts.number("XENSTORE_RING_SIZE", xenstore::RING_SIZE as u64);
    facts.number("XENSTORE_PAYLOAD_MAX", xenstore::PAYLOAD_MAX as u64);
    facts.number("XENSTORE_ABS_PATH_MAX", xenstore::ABS_PATH_MAX as u64);
    facts.number("XENSTORE_REL_PATH_MAX", xenstore::REL_PATH_MAX as u64);
    facts.number(
        "XENSTORE_SERVER_FEATURE_RECONNECTION",
        xenstore::SERVER_FEATURE_RECONNECTION,
    );
    facts.number(
        "XENSTORE_SERVER_FEATURE_ERROR",
        xenstore::SERVER_FEATURE_ERROR,
    );
    facts.number("XENSTORE_CONNECTED", xenstore::CONNECTED);
    facts.number("XENSTORE_RECONNECT", xenstore::RECONNECT);
    facts.number("XENSTORE_ERROR_NONE", xenstore::ERROR_NONE);
    facts.number("XENSTORE_ERROR_COMM", xenstore::ERROR_COMM);
    facts.number("XENSTORE_ERROR_RINGIDX", xenstore::ERROR_RINGIDX);
    facts.number("XENSTORE_ERROR_PROTO", xenstore::ERROR_PROTO);
}

fn identification(facts: &mut Facts) {
    use version::*;
    same!(
        facts,
        "struct xen_feature_info",
        FeatureInfo { submap_idx, submap }
    );
    facts.number(
        "sizeof(xen_extraversion_t)",
        size_of::<ExtraVersion>() as u64,
    );
    command::<FeatureInfo>(facts, "__HYPERVISOR_xen_version");
    command::<ExtraVersion>(facts, "__HYPERVISOR_xen_version");
    facts.number("XENVER_version", VERSION);
    facts.number("XEN_CPUID_FIRST_LEAF", CPUID_FIRST_LEAF);
    facts.number("XEN_CPUID_SIGNATURE_EBX", CPUID_SIGNATURE_EBX);
    facts.number("XEN_CPUID_SIGNATURE_ECX", CPUID_SIGNATURE_ECX);
    facts.number("XEN_CPUID_SIGNATURE_EDX", CPUID_SIGNATURE_EDX);
    facts.number("XEN_HVM_CPUID_DOMID_PRESENT", HVM_CPUID_DOMID_PRESENT);
    for (name, feature) in [
        ("auto_translated_physmap", Feature::AutoTranslatedPhysmap),
        ("hvm_callback_vector", Feature::HvmCallbackVector),
        ("hvm_safe_pvclock", Feature::HvmSafePvclock),
        ("hvm_pirqs", Feature::HvmPirqs),
        ("dom0", Feature::Dom0),
        ("memory_op_vnode_supported", Feature::MemoryOpVnodeSupported),
        ("linux_rsdp_unrestricted", Feature::LinuxRsdpUnrestricted),
    ] {
        facts.number(&format!("XENFEAT_{name}"), feature as u32);
    }
    structure!(facts, "struct xen_domctl", domctl::MemoryMapping {
        "cmd": cmd, "interface_version": interface_version, "domain": domain,
        "u.memory_mapping.first_gfn": first_gfn, "u.memory_mapping.first_mfn": first_mfn,
        "u.memory_mapping.nr_mfns": nr_mfns, "u.memory_mapping.add_mapping": add_mapping,
        "u.memory_mapping.padding": padding,
    });
    facts.number("XEN_DOMCTL_memory_mapping", domctl::MEMORY_MAPPING);
    facts.number("__HYPERVISOR_domctl", Hypercall::Domctl as u32);
    facts.number("DPCI_ADD_MAPPING", 1_u64);
    facts.number("DOMID_SELF", xen::DomainId::SELF.0);
    facts.number("DOMID_FIRST_RESERVED", xen::DomainId::FIRST_RESERVED);
    facts.number("DOMID_INVALID", xen::DomainId::INVALID.0);
    for (name, Errno(number)) in Errno::ALL {
        facts.number(&format!("XEN_{name}"), *number);
    }
}

/// The program: one line per expression, in the map's order.
fn program(facts: &Facts) -> String {
    let mut source = String::from(
        "#define __XEN_TOOLS__ 1
#define __XEN_INTERFACE_VERSION__ 0x00041100
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <xen/xen.h>
#include <xen/errno.h>
#include <xen/version.h>
#include <xen/features.h>
#include <xen/memory.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/sched.h>
#include <xen/domctl.h>
#include <xen/arch-x86/cpuid.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/ioreq.h>
#include <xen/hvm/params.h>
#include <xen/io/console.h>
#include <xen/io/xs_wire.h>
static uint64_t seen(const void *object, size_t size) {
    const uint8_t *bytes = object;
    for (size_t i = 0; i < size; i++) if (bytes[i]) return (uint64_t)i << 8 | bytes[i];
    return ~0ull;
}
#define IOREQ_BIT(field, value) ({ struct ioreq r; memset(&r, 0, sizeof r); r.field = value; \\
    seen(&r, sizeof r); })
#define BUFIOREQ_WORD(field, value) ({ struct buf_ioreq r; uint32_t w; memset(&r, 0, sizeof r); \\
    r.field = value; memcpy(&w, &r, sizeof w); (uint64_t)w; })
int main(void) {
",
    );
    for expression in facts.numbers.keys() {
        writeln!(
            source,
            "    printf(\"%llu\\n\", (unsigned long long)({expression}));"
        )
        .expect("a String takes everything");
    }
    source.push_str("    return 0;\n}\n");
    source
}

#[test]
fn every_layout_and_number_is_as_xens_headers_say() {
    assert!(
        Path::new(HEADER).exists(),
        "{HEADER} is missing: install Debian's libxen-dev"
    );
    let mut facts = Facts::default();
    event_channels(&mut facts);
    memory_operations(&mut facts);
    grants(&mut facts);
    scheduling_and_parameters(&mut facts);
    device_model_operations(&mut facts);
    requests(&mut facts);
    shared_pages(&mut facts);
    identification(&mut facts);

    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (source, binary) = (folder.join("xen_abi.c"), folder.join("xen_abi"));
    std::fs::write(&source, program(&facts)).expect("the target folder is writable");
    let compiled = Command::new("gcc")
        .args(["-std=gnu11", "-Wno-pointer-to-int-cast", "-o"])
        .args([&binary, &source])
        .output()
        .unwrap_or_else(|error| panic!("gcc does not run ({error}): install Debian's gcc"));
    assert!(
        compiled.status.success(),
        "gcc: {}",
        String::from_utf8_lossy(&compiled.stderr)
    );
    let printed = Command::new(&binary).output().expect("just compiled");
    let printed = String::from_utf8(printed.stdout).expect("digits");
    let lines: Vec<u64> = printed
        .lines()
        .map(|line| line.parse().expect("a number"))
        .collect();
    assert_eq!(lines.len(), facts.numbers.len());
    let different: Vec<String> = facts
        .numbers
        .iter()
        .zip(lines)
        .filter(|((_, ours), theirs)| **ours != *theirs)
        .map(|((expression, ours), theirs)| {
            format!("{expression}: ours {ours:#x}, Xen {theirs:#x}")
        })
        .collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert!(
        facts.numbers.len() > 300,
        "the list has shrunk to {}",
        facts.numbers.len()
    );
}
