//! Which device computes.

use burn::tensor::Device;
use burn::tensor::wgpu::{WgpuBackend, WgpuSetup, wgpu};
use kvr_kernels::{Context, MatrixUnits};

use crate::shared::args::{BackendChoice, DeviceArgs, MatrixArgs};
use crate::shared::error::Usage;
use crate::shared::quiet::Quiet;

/// A device that is ready, and what records call it.
pub(crate) struct Backend {
    pub(crate) context: Context,
    /// `cpu` or `wgpu`, and whether attention runs on matrix units.
    pub(crate) name: &'static str,
    /// The processor or adapter.
    pub(crate) description: String,
    pub(crate) threads: usize,
    /// Matrix units of the adapter, if attention can use them.
    matrices: Option<MatrixUnits>,
    /// Why `auto` did not take a GPU.
    note: Option<String>,
}

impl Backend {
    /// Says on stderr what `auto` chose; called when work begins, so that an error stays one line.
    pub(crate) fn announce(&self) {
        if let Some(note) = &self.note {
            eprintln!("backend: cpu ({note})");
        }
    }

    /// Attention on matrix units, if the flag says so.
    pub(crate) fn on_matrices(mut self, args: &MatrixArgs) -> anyhow::Result<Self> {
        if args.matrices {
            let Some(units) = self.matrices else {
                return Err(Usage(format!(
                    "--matrices: {} has no matrix units that attention can use (f16, 8 or 16 \
                     square, Vulkan): leave it out",
                    self.description
                ))
                .into());
            };
            self.context.matrices = Some(units);
            self.name = "wgpu, matrix units";
        }
        Ok(self)
    }
}

/// What a machine without a usable adapter is missing.
const INSTALL: &str =
    "install a Vulkan driver (Debian: apt-get install mesa-vulkan-drivers), or use --backend cpu";

/// OpenGL is left out on Linux: kernels need Vulkan there.
const GRAPHICS_API: WgpuBackend =
    if cfg!(target_os = "linux") { WgpuBackend::Vulkan } else { WgpuBackend::Auto };

/// Sets the threads of the CPU back end and opens the device.
pub(crate) fn open(args: &DeviceArgs) -> anyhow::Result<Backend> {
    let threads = threads(args.threads)?;
    match args.backend {
        BackendChoice::Cpu => Ok(cpu(threads)),
        BackendChoice::Wgpu => match adapter() {
            Ok((device, adapter)) => Ok(gpu(device, &adapter, threads)),
            Err(why) => Err(Usage(format!("--backend wgpu: no adapter ({why}): {INSTALL}")).into()),
        },
        BackendChoice::Auto => {
            let why = match adapter() {
                Ok((device, adapter))
                    if adapter.get_info().device_type != wgpu::DeviceType::Cpu =>
                {
                    return Ok(gpu(device, &adapter, threads));
                }
                Ok((_, adapter)) => format!("{} is software", adapter.get_info().name),
                Err(why) => why,
            };
            Ok(Backend { note: Some(format!("no GPU adapter: {why}")), ..cpu(threads) })
        }
    }
}

fn threads(wanted: Option<usize>) -> anyhow::Result<usize> {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = wanted.unwrap_or(all);
    if threads == 0 || threads > 1024 {
        return Err(Usage(format!(
            "--threads {threads}: give 1 to 1024 (this machine has {all} cores)"
        ))
        .into());
    }
    // This thread is one of them: handing each operation over to others and waiting for them would
    // cost more than a small one takes.
    rayon::ThreadPoolBuilder::new().num_threads(threads).use_current_thread().build_global()?;
    Ok(threads)
}

fn cpu(threads: usize) -> Backend {
    Backend {
        context: Context::new(&Device::flex()),
        name: "cpu",
        description: processor(),
        threads,
        matrices: None,
        note: None,
    }
}

fn gpu(device: Device, adapter: &wgpu::Adapter, threads: usize) -> Backend {
    Backend {
        context: Context::new(&device),
        name: "wgpu",
        description: describe(&adapter.get_info()),
        threads,
        matrices: MatrixUnits::of(adapter),
        note: None,
    }
}

/// The adapter's name, interface and driver.
pub(crate) fn describe(info: &wgpu::AdapterInfo) -> String {
    let driver = format!("{} {}", info.driver, info.driver_info);
    format!("{} ({:?}, {})", info.name, info.backend, driver.trim())
}

/// Opens the best adapter.
pub(crate) fn adapter() -> Result<(Device, wgpu::Adapter), String> {
    // Mesa's Vulkan driver prints an error for each window system that it can't find where no
    // desktop session is running. We open no window; what matters comes back as an error.
    let _quiet = Quiet::begin();
    // Without any driver the runtime below panics instead of saying so; its message is ours then.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let opened = std::panic::catch_unwind(|| {
        Device::wgpu_options().graphics_api(GRAPHICS_API).init_with_setup()
    });
    std::panic::set_hook(hook);
    match opened {
        Ok(Ok((device, setup))) => {
            let WgpuSetup { adapter, .. } = setup;
            Ok((device, adapter))
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no Vulkan or Metal driver answered".to_owned()),
    }
}

/// The processor's name, as far as the system tells.
pub(crate) fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split(':').nth(1));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |name| name.trim().to_owned())
}
