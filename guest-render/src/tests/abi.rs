//! Layouts and numbers against the kernel's own headers, as the C compiler sees them.
//!
//! A C program that prints sizes, offsets and constants is compiled with libdrm-dev's copy of the
//! headers (Debian's linux-libc-dev leaves those of DRM to it); each line must say what our
//! structures say.

use core::mem::offset_of;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use crate::abi::{context, execution, object, sync};
use crate::checks::PARAMETERS;
use crate::engine::Engine;

const HEADERS: &str = "/usr/include/libdrm";

/// Expressions in C and what they must be.
#[derive(Default)]
struct Facts {
    numbers: BTreeMap<String, u64>,
}

impl Facts {
    fn number(&mut self, expression: impl Into<String>, value: u64) {
        let expression = expression.into();
        let earlier = self.numbers.insert(expression.clone(), value);
        assert!(
            earlier.is_none_or(|known| known == value),
            "{expression} twice"
        );
    }
}

/// `same!(facts, "struct c", Type { field, … })`: size, and the offset of each field.
macro_rules! same {
    ($facts:expr, $c:literal, $type:ty { $($field:ident),* $(,)? }) => {
        $facts.number(concat!("sizeof(", $c, ")"), size_of::<$type>() as u64);
        same!(fields $facts, $c, $type { $($field),* });
    };
    (fields $facts:expr, $c:literal, $type:ty { $($field:ident),* $(,)? }) => {
        $($facts.number(
            concat!("offsetof(", $c, ", ", stringify!($field), ")"),
            offset_of!($type, $field) as u64,
        );)*
    };
}

/// `requests!(facts, module { NAME, … })`: the numbers under the kernel's names.
macro_rules! requests {
    ($facts:expr, $module:ident { $($name:ident),* $(,)? } with pointers { $($pointer:ident),* }) => {
        $($facts.number($module::$name.name(), $module::$name.request());)*
        $($facts.number($module::$pointer.0.name(), $module::$pointer.0.request());)*
    };
}

fn objects(facts: &mut Facts) {
    use object::*;
    same!(
        facts,
        "struct drm_version",
        Version {
            version_major,
            version_minor,
            version_patchlevel,
            name_len,
            name,
            date_len,
            date,
            desc_len,
            desc,
        }
    );
    same!(facts, "struct drm_gem_close", Close { handle, pad });
    same!(
        facts,
        "struct drm_i915_getparam",
        GetParameter { param, value }
    );
    same!(
        facts,
        "struct drm_i915_gem_create",
        Create { size, handle, pad }
    );
    same!(
        facts,
        "struct drm_i915_gem_pread",
        Pread {
            handle,
            pad,
            offset,
            size,
            data_ptr
        }
    );
    same!(
        facts,
        "struct drm_i915_gem_pwrite",
        Pwrite {
            handle,
            pad,
            offset,
            size,
            data_ptr
        }
    );
    same!(
        facts,
        "struct drm_i915_gem_mmap",
        Map {
            handle,
            pad,
            offset,
            size,
            addr_ptr,
            flags
        }
    );
    same!(
        facts,
        "struct drm_i915_gem_mmap_offset",
        MapOffset {
            handle,
            pad,
            offset,
            flags,
            extensions,
        }
    );
    same!(
        facts,
        "struct drm_i915_gem_set_domain",
        SetDomain {
            handle,
            read_domains,
            write_domain,
        }
    );
    same!(
        facts,
        "struct drm_i915_gem_caching",
        SetCaching { handle, caching }
    );
    same!(
        facts,
        "struct drm_i915_gem_set_tiling",
        SetTiling {
            handle,
            tiling_mode,
            stride,
            swizzle_mode,
        }
    );
    same!(
        facts,
        "struct drm_i915_gem_get_aperture",
        GetAperture {
            aper_size,
            aper_available_size,
        }
    );
    same!(facts, "struct drm_i915_gem_busy", Busy { handle, busy });
    same!(
        facts,
        "struct drm_i915_gem_wait",
        Wait {
            bo_handle,
            flags,
            timeout_ns
        }
    );
    same!(
        facts,
        "struct drm_i915_gem_userptr",
        UserPointer {
            user_ptr,
            user_size,
            flags,
            handle,
        }
    );
    requests!(facts, object {
        CLOSE, CREATE, MAP, MAP_OFFSET, SET_DOMAIN, SET_CACHING, SET_TILING, GET_APERTURE, BUSY,
        WAIT,
    } with pointers { VERSION, GET_PARAMETER, PREAD, PWRITE, USER_POINTER });
    facts.number("I915_MMAP_WC", MAP_WRITE_COMBINING);
    facts.number("I915_MMAP_OFFSET_GTT", OFFSET_GTT);
    facts.number("I915_MMAP_OFFSET_WC", OFFSET_WC);
    facts.number("I915_MMAP_OFFSET_WB", OFFSET_WB);
    facts.number("I915_MMAP_OFFSET_UC", OFFSET_UC);
    facts.number("I915_GEM_DOMAIN_CPU", DOMAIN_CPU.into());
    facts.number("I915_GEM_DOMAIN_GTT", DOMAIN_GTT.into());
    facts.number("I915_GEM_DOMAIN_WC", DOMAIN_WC.into());
    facts.number("I915_CACHING_NONE", CACHING_NONE.into());
    facts.number("I915_TILING_X", TILING_X.into());
    facts.number("I915_TILING_Y", TILING_Y.into());
}

fn submissions(facts: &mut Facts) {
    use execution::*;
    same!(
        facts,
        "struct drm_i915_gem_exec_object2",
        ExecObject {
            handle,
            relocation_count,
            relocs_ptr,
            alignment,
            offset,
            flags,
            rsvd1,
            rsvd2,
        }
    );
    same!(
        facts,
        "struct drm_i915_gem_relocation_entry",
        Relocation {
            target_handle,
            delta,
            offset,
            presumed_offset,
            read_domains,
            write_domain,
        }
    );
    same!(
        facts,
        "struct drm_i915_gem_execbuffer2",
        Execute {
            buffers_ptr,
            buffer_count,
            batch_start_offset,
            batch_len,
            DR1,
            DR4,
            num_cliprects,
            cliprects_ptr,
            flags,
            rsvd1,
            rsvd2,
        }
    );
    same!(
        facts,
        "struct drm_i915_gem_exec_fence",
        ExecFence { handle, flags }
    );
    same!(
        facts,
        "struct i915_user_extension",
        Extension {
            next_extension,
            name,
            flags,
            rsvd
        }
    );
    same!(
        facts,
        "struct drm_i915_gem_execbuffer_ext_timeline_fences",
        TimelineFences {
            base,
            fence_count,
            handles_ptr,
            values_ptr,
        }
    );
    requests!(facts, execution {} with pointers { EXECUTE });
    facts.number("DRM_I915_GEM_EXECBUFFER_EXT_TIMELINE_FENCES", 0);
    facts.number("EXEC_OBJECT_WRITE", OBJECT_WRITE);
    facts.number("EXEC_OBJECT_SUPPORTS_48B_ADDRESS", OBJECT_48_BIT);
    facts.number("EXEC_OBJECT_PINNED", OBJECT_PINNED);
    facts.number("EXEC_OBJECT_ASYNC", OBJECT_ASYNC);
    facts.number("I915_EXEC_RENDER", RENDER);
    facts.number("I915_EXEC_BSD", BSD);
    facts.number("I915_EXEC_BLT", BLT);
    facts.number("I915_EXEC_VEBOX", VEBOX);
    facts.number("I915_EXEC_NO_RELOC", NO_RELOC);
    facts.number("I915_EXEC_HANDLE_LUT", HANDLE_LUT);
    facts.number("I915_EXEC_FENCE_IN", FENCE_IN);
    facts.number("I915_EXEC_FENCE_OUT", FENCE_OUT);
    facts.number("I915_EXEC_FENCE_ARRAY", FENCE_ARRAY);
    facts.number("I915_EXEC_USE_EXTENSIONS", USE_EXTENSIONS);
    facts.number("I915_EXEC_FENCE_WAIT", WAIT_FOR.into());
    facts.number("I915_EXEC_FENCE_SIGNAL", SIGNAL.into());
}

fn contexts(facts: &mut Facts) {
    use context::*;
    same!(
        facts,
        "struct drm_i915_gem_context_create",
        ContextCreate { ctx_id, pad }
    );
    same!(
        facts,
        "struct drm_i915_gem_context_destroy",
        ContextDestroy { ctx_id, pad }
    );
    same!(
        facts,
        "struct drm_i915_gem_context_param",
        ContextParameter {
            ctx_id,
            size,
            param,
            value,
        }
    );
    same!(
        facts,
        "struct drm_i915_gem_vm_control",
        VmControl {
            extensions,
            flags,
            vm_id
        }
    );
    same!(
        facts,
        "struct drm_i915_reset_stats",
        ResetStatistics {
            ctx_id,
            flags,
            reset_count,
            batch_active,
            batch_pending,
            pad,
        }
    );
    same!(
        facts,
        "struct drm_i915_query",
        Query {
            num_items,
            flags,
            items_ptr
        }
    );
    same!(
        facts,
        "struct drm_i915_query_item",
        QueryItem {
            query_id,
            length,
            flags,
            data_ptr
        }
    );
    same!(
        facts,
        "struct drm_i915_engine_info",
        EngineInformation {
            rsvd0,
            flags,
            capabilities,
            logical_instance,
            rsvd1,
            rsvd2,
        }
    );
    facts.number(
        "offsetof(struct drm_i915_engine_info, engine.engine_class)",
        0,
    );
    facts.number(
        "offsetof(struct drm_i915_engine_info, engine.engine_instance)",
        2,
    );
    same!(fields facts, "struct drm_i915_query_engine_info", EngineList {
        num_engines, rsvd, engines,
    });
    requests!(facts, context {
        CONTEXT_CREATE, CONTEXT_DESTROY, VM_CREATE, VM_DESTROY, RESET_STATISTICS,
    } with pointers { GET_CONTEXT_PARAMETER, SET_CONTEXT_PARAMETER, QUERY });
    facts.number("I915_CONTEXT_PARAM_GTT_SIZE", GTT_SIZE);
    facts.number("I915_CONTEXT_PARAM_RECOVERABLE", RECOVERABLE);
    facts.number("I915_CONTEXT_PARAM_VM", VM);
    facts.number("I915_CONTEXT_PARAM_PERSISTENCE", PERSISTENCE);
    facts.number("DRM_I915_QUERY_ENGINE_INFO", QUERY_ENGINES);
    for (engine, name) in Engine::ALL
        .into_iter()
        .zip(["RENDER", "COPY", "VIDEO", "VIDEO_ENHANCE"])
    {
        facts.number(format!("I915_ENGINE_CLASS_{name}"), engine.class().into());
    }
    for (name, number, _) in PARAMETERS {
        let name = name.replace('-', "_").to_uppercase();
        facts.number(format!("I915_PARAM_{name}"), *number as u64);
    }
}

fn fences(facts: &mut Facts) {
    use sync::*;
    same!(
        facts,
        "struct sync_merge_data",
        Merge {
            name,
            fd2,
            fence,
            flags,
            pad
        }
    );
    same!(
        facts,
        "struct sync_file_info",
        FileInformation {
            name,
            status,
            flags,
            num_fences,
            pad,
            sync_fence_info,
        }
    );
    same!(
        facts,
        "struct drm_syncobj_create",
        SyncobjCreate { handle, flags }
    );
    same!(
        facts,
        "struct drm_syncobj_destroy",
        SyncobjDestroy { handle, pad }
    );
    // Newer headers append a deadline: everything before it, and the number without the size.
    same!(fields facts, "struct drm_syncobj_wait", SyncobjWait {
        handles, timeout_nsec, count_handles, flags, first_signaled, pad,
    });
    facts.number(
        "offsetof(struct drm_syncobj_wait, pad) + 4",
        size_of::<SyncobjWait>() as u64,
    );
    let size = 0x3fff << 16;
    facts.number(
        "(DRM_IOCTL_SYNCOBJ_WAIT & ~IOCSIZE_MASK)",
        SYNCOBJ_WAIT.0.request() & !size,
    );
    same!(
        facts,
        "struct drm_syncobj_timeline_array",
        TimelineQuery {
            handles,
            points,
            count_handles,
            flags,
        }
    );
    requests!(facts, sync { MERGE, SYNCOBJ_CREATE, SYNCOBJ_DESTROY }
        with pointers { FILE_INFORMATION, TIMELINE_QUERY });
}

#[test]
fn structures_and_numbers_are_the_kernels() {
    assert!(
        Path::new(HEADERS).join("i915_drm.h").exists(),
        "{HEADERS}/i915_drm.h is missing: install libdrm-dev"
    );
    let mut facts = Facts::default();
    objects(&mut facts);
    submissions(&mut facts);
    contexts(&mut facts);
    fences(&mut facts);

    let mut source = String::from(
        "#include <stdio.h>\n#include <stddef.h>\n#include <sys/ioctl.h>\n\
         #include <drm.h>\n#include <i915_drm.h>\n#include <linux/sync_file.h>\nint main(void) {\n",
    );
    for expression in facts.numbers.keys() {
        let _ = writeln!(
            source,
            "printf(\"%s\\t%llu\\n\", \"{expression}\", (unsigned long long)({expression}));"
        );
    }
    source.push_str("return 0; }\n");
    let folder = std::env::temp_dir().join(format!("guest-render-abi-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the C program");
    let (file, program) = (folder.join("abi.c"), folder.join("abi"));
    std::fs::write(&file, source).expect("the C program");
    let compiler = Command::new("gcc")
        .arg("-I")
        .arg(HEADERS)
        .arg(&file)
        .arg("-o")
        .arg(&program)
        .output()
        .expect("gcc is missing: install gcc");
    assert!(
        compiler.status.success(),
        "{}",
        String::from_utf8_lossy(&compiler.stderr)
    );
    let output = Command::new(&program)
        .output()
        .expect("the compiled program runs");
    std::fs::remove_dir_all(&folder).expect("the folder goes away");

    let text = String::from_utf8(output.stdout).expect("text");
    let mut compared = 0;
    for line in text.lines() {
        let (expression, value) = line.split_once('\t').expect("two columns");
        let ours = facts.numbers.get(expression).expect("a fact of ours");
        assert_eq!(value.parse(), Ok(*ours), "{expression}");
        compared += 1;
    }
    assert_eq!(compared, facts.numbers.len());
    assert!(compared > 150, "only {compared} facts");
}
