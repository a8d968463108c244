//! Asking the service domain for a vGPU, and giving one back.
//!
//! ```text
//! gpuctl                         data/gpu/vgpu/<guest>/           service domain
//! remove old state, reason
//! low-gm … display, then    --command = attach-->     watch fires: reads all, decides
//!   (watch on state)        <--reason, then state--   attached | refused | needs-target
//! needs-target: xc_domain_set_target, command again
//! ```

use core::time::Duration;
use std::time::Instant;

use crate::domains;
use crate::error::{Error, Result};
use crate::nodes;
use crate::sizes::Sizes;
use crate::text::Untrusted;
use crate::toolstack::Toolstack;
use crate::xenstore::Xenstore;

/// Between looks for what no watch tells: that a domain is gone.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The service domain as one command talks to it.
pub struct Session<'a> {
    /// Its connection.
    pub store: &'a mut Xenstore,
    /// Dom0's means.
    pub toolstack: &'a mut dyn Toolstack,
    /// The service domain.
    pub service: u32,
    /// How long to wait for each answer.
    pub timeout: Duration,
}

impl Session<'_> {
    /// Waits until the service domain serves.
    pub fn wait_ready(&mut self) -> Result<()> {
        let state = nodes::of_service(self.service, "state");
        if self.store.read(&state)?.is_none() {
            return Err(Error::NotAService(self.service));
        }
        let word = self.wait_for(&state, "to become ready", None, |word| word != "starting")?;
        match word.as_str() {
            "ready" => Ok(()),
            "failed" => {
                let reason = self.reason(&nodes::of_service(self.service, "reason"))?;
                Err(Error::ServiceFailed {
                    service: self.service,
                    reason,
                })
            }
            _ => Err(Error::Nonsense {
                path: state,
                value: word.as_str().into(),
            }),
        }
    }

    /// Gives `guest`, which must not run yet, a vGPU of these sizes.
    pub fn attach(&mut self, guest: u32, sizes: &Sizes) -> Result<()> {
        self.wait_ready()?;
        // Asking would be refused as well, and the refusal would take the place of this state.
        let state = self
            .store
            .read(&nodes::of_vgpu(self.service, guest, "state"))?;
        if state.is_some_and(|state| state.word() == Some("attached")) {
            return Err(Error::AlreadyAttached(guest));
        }
        self.sweep()?;
        // It learns from this that a guest is gone, sooner than by asking.
        if let Err(error) = self.store.allow_reading("@releaseDomain", self.service) {
            eprintln!(
                "gpuctl: note: d{} may not watch @releaseDomain: {error}",
                self.service
            );
        }
        let node = |name: &str| nodes::of_vgpu(self.service, guest, name);
        for (name, value) in [
            ("low-gm", sizes.low_gm),
            ("high-gm", sizes.high_gm),
            ("fences", sizes.fences),
            ("weight", sizes.weight),
        ] {
            self.store.write(&node(name), &value.to_string())?;
        }
        self.store.write(&node("display"), &sizes.display)?;
        let huge_gtt = if sizes.huge_gtt { "1" } else { "0" };
        self.store.write(&node("huge-gtt"), huge_gtt)?;

        if self.command(guest, "attach")? == "needs-target" {
            self.toolstack.set_target(self.service, guest)?;
            if self.command(guest, "attach")? == "needs-target" {
                return Err(self.refusal(guest)?);
            }
        }
        Ok(())
    }

    /// The domain meant by a name or number, or the number of one that is gone but has nodes.
    pub fn holder(&mut self, wanted: &str) -> Result<u32> {
        let error = match domains::find(self.store, wanted) {
            Ok(guest) => return Ok(guest),
            Err(error) => error,
        };
        match Untrusted::from(wanted).number() {
            Some(id)
                if !self
                    .store
                    .directory(&nodes::vgpu(self.service, id))?
                    .is_empty() =>
            {
                Ok(id)
            }
            _ => Err(error),
        }
    }

    /// Takes the vGPU of `guest` away and tidies its nodes.
    pub fn detach(&mut self, guest: u32) -> Result<()> {
        self.command(guest, "detach")?;
        self.store.remove(&nodes::vgpu(self.service, guest))
    }

    /// Gives one command; the state that answers it, unless that is a refusal.
    fn command(&mut self, guest: u32, command: &'static str) -> Result<String> {
        let state = nodes::of_vgpu(self.service, guest, "state");
        self.store
            .remove(&nodes::of_vgpu(self.service, guest, "reason"))?;
        self.store.remove(&state)?;
        self.store
            .write(&nodes::of_vgpu(self.service, guest, "command"), command)?;
        let waited = if command == "attach" {
            Some(guest)
        } else {
            None
        };
        let word = self.wait_for(&state, command, waited, |_| true)?;
        match (command, word.as_str()) {
            ("attach", "attached" | "needs-target") | ("detach", "detached") => Ok(word),
            (_, "refused") => Err(self.refusal(guest)?),
            _ => Err(Error::Nonsense {
                path: state,
                value: word.as_str().into(),
            }),
        }
    }

    fn refusal(&mut self, guest: u32) -> Result<Error> {
        let reason = self.reason(&nodes::of_vgpu(self.service, guest, "reason"))?;
        Ok(Error::Refused { guest, reason })
    }

    fn reason(&mut self, path: &str) -> Result<Untrusted> {
        Ok(self
            .store
            .read(path)?
            .unwrap_or_else(|| "it gave no reason".into()))
    }

    /// Waits until a node holds a word that `done` accepts; gives up early on a vanished guest.
    fn wait_for(
        &mut self,
        path: &str,
        waiting_for: &'static str,
        guest: Option<u32>,
        done: impl Fn(&str) -> bool,
    ) -> Result<String> {
        self.store.watch(path)?;
        let outcome = self.watched(path, waiting_for, guest, done);
        // The outcome matters more than whether the watch could be taken back.
        let _ = self.store.unwatch(path);
        outcome
    }

    fn watched(
        &mut self,
        path: &str,
        waiting_for: &'static str,
        guest: Option<u32>,
        done: impl Fn(&str) -> bool,
    ) -> Result<String> {
        let deadline = Instant::now() + self.timeout;
        loop {
            if let Some(value) = self.store.read(path)? {
                match value.word() {
                    Some(word) if done(word) => return Ok(word.to_owned()),
                    Some(_) => {}
                    None => {
                        return Err(Error::Nonsense {
                            path: path.into(),
                            value,
                        });
                    }
                }
            }
            if !domains::exists(self.store, self.service)? {
                return Err(Error::NoDomain(self.service.to_string()));
            }
            if let Some(guest) = guest
                && !domains::exists(self.store, guest)?
            {
                return Err(Error::GuestVanished(guest));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let (service, seconds) = (self.service, self.timeout.as_secs());
                return Err(Error::Silence {
                    service,
                    waiting_for,
                    seconds,
                });
            }
            self.store.wait(left.min(LOOK_AGAIN))?;
        }
    }

    /// Removes what is left of guests that no longer exist and have no vGPU any more; the
    /// service domain pays for these nodes with its quota.
    fn sweep(&mut self) -> Result<()> {
        for name in self.store.directory(&nodes::vgpus(self.service))? {
            let Some(guest) = Untrusted::from(name.as_str()).number() else {
                continue;
            };
            let state = self
                .store
                .read(&nodes::of_vgpu(self.service, guest, "state"))?;
            let settled = matches!(
                state.as_ref().and_then(Untrusted::word),
                Some("detached" | "refused" | "needs-target")
            );
            if settled && !domains::exists(self.store, guest)? {
                self.store.remove(&nodes::vgpu(self.service, guest))?;
            }
        }
        Ok(())
    }
}
