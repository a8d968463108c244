//! What the submission checks work with: address space, contexts, pictures, batch pages.

use crate::commands::{Commands, Depth, Rectangle};
use crate::context::Context;
use crate::driver::Driver;
use crate::hardware::{BCS, RCS, VCS, VECS};
use crate::machine::{PAGE, Page};
use crate::ppgtt::Ppgtt;
use crate::report::{Outcome, ensure};
use crate::surface::Surface;

/// One of everything.
pub struct Workshop<'m> {
    /// The device.
    pub driver: Driver<'m>,
    /// The address space of all contexts.
    pub space: Ppgtt,
    /// A context on each engine: rcs, bcs, vcs, vecs.
    pub contexts: [Context; 4],
    /// A second one on the blitter.
    pub second: Context,
    /// Pictures of 32, 16 and 8 bits per pixel.
    pub pictures: [Surface; 3],
    /// Copied from.
    pub source: Surface,
    /// A batch that the PPGTT maps.
    pub batch: Buffer,
    /// A batch that the global GTT maps.
    pub global_batch: Buffer,
    pages: Vec<Page>,
}

/// One page with an address.
#[derive(Clone, Copy)]
pub struct Buffer {
    /// The page.
    pub page: Page,
    /// Where the GPU finds it.
    pub address: u64,
}

impl<'m> Workshop<'m> {
    /// Sets everything up.
    pub fn new(mut driver: Driver<'m>) -> Result<Self, String> {
        let text = |trouble: crate::machine::Trouble| trouble.0;
        let mut space = Ppgtt::new(driver.machine).map_err(text)?;
        let root = space.root();
        let contexts = [
            driver.context(RCS, root)?,
            driver.context(BCS, root)?,
            driver.context(VCS, root)?,
            driver.context(VECS, root)?,
        ];
        let second = driver.context(BCS, root)?;
        let mut picture = |depth| Surface::new(driver.machine, &mut space, (64, 40), depth);
        let pictures = [
            picture(Depth::Bits32)?,
            picture(Depth::Bits16)?,
            picture(Depth::Bits8)?,
        ];
        let source = picture(Depth::Bits32)?;
        let [page, global] = [
            driver.machine.page().map_err(text)?,
            driver.machine.page().map_err(text)?,
        ];
        let batch = Buffer {
            page,
            address: space.map(driver.machine, &[page])?,
        };
        let address = driver.ggtt.map_low(driver.machine, &[global])?;
        let global_batch = Buffer {
            page: global,
            address: address.into(),
        };
        let pages = vec![page, global];
        Ok(Self {
            driver,
            space,
            contexts,
            second,
            pictures,
            source,
            batch,
            global_batch,
            pages,
        })
    }

    /// Runs commands in the ring of one of the four contexts.
    pub fn run(&mut self, context: usize, commands: Commands) -> Outcome {
        let context = self.contexts.get_mut(context).ok_or("no such context")?;
        self.driver.run(context, commands)
    }

    /// Puts commands into a batch page.
    pub fn write_batch(&mut self, into: Buffer, commands: &Commands) -> Outcome {
        ensure(commands.0.len() <= PAGE as usize / 4, || {
            "batch longer than its page".into()
        })?;
        for (dword, word) in commands.0.iter().enumerate() {
            self.driver.machine.write(into.page, dword, *word);
        }
        Ok(())
    }

    /// The proof that the blitter works: a filled rectangle, checked pixel by pixel.
    pub fn draw_something(&mut self, color: u32) -> Outcome {
        let [picture, ..] = &mut self.pictures;
        let at = Rectangle {
            left: 3,
            top: 5,
            width: 17,
            height: 9,
        };
        let commands = picture.fill(Commands::new(), at, color);
        self.run(1, commands)?;
        let [picture, ..] = &self.pictures;
        picture.verify(self.driver.machine)
    }

    /// That the kernel did not move pages under the device, which would spoil every result.
    pub fn pages_stayed(&mut self) -> Outcome {
        for page in self.pages.clone() {
            let frame = self
                .driver
                .machine
                .frame(page)
                .map_err(|trouble| trouble.0)?;
            ensure(frame == page.frame, || {
                format!(
                    "page {} moved from frame {:#x} to {frame:#x}",
                    page.index, page.frame
                )
            })?;
        }
        Ok(())
    }
}
