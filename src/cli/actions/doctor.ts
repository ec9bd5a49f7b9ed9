import { type Gpu, openGpu } from '../../gpu/index.ts';
import { probeArithmetic } from '../../gpu/runtime/probe.ts';
import { describeRun } from '../../verify/report.ts';
import { print } from '../frame.ts';

/** Print what was found on this machine, what is used and why, and what would be faster. */
export async function doctor({ adapter, json }: { adapter?: string; json?: boolean }): Promise<void> {
  await using gpu = await openGpu(adapter === undefined ? {} : { adapter });
  const found = await examine(gpu);
  print(json ? JSON.stringify(found, null, 2) : text(found));
}

type Examination = Awaited<ReturnType<typeof examine>>;

async function examine(gpu: Gpu) {
  return {
    ...describeRun(gpu),
    adapters: gpu.choice.adapters,
    embeddedDriver: gpu.choice.embedded ?? null,
    notes: gpu.choice.notes,
    features: [...gpu.device.features].sort(),
    arithmetic: await probeArithmetic(gpu),
    advice: advice(gpu),
  };
}

/** What to install for something faster, or nothing. */
function advice(gpu: Gpu): string[] {
  const { chosen } = gpu.choice;
  if (!chosen.software) return [];
  const lines = ['a software driver runs the kernels on the CPU: right for checking, no measure of a GPU'];
  if (process.platform === 'linux') {
    lines.push(
      'for a GPU, install its Vulkan driver (NVIDIA: the driver package; AMD and Intel: mesa-vulkan-drivers)',
    );
    if (!/llvmpipe/.test(chosen.name)) {
      lines.push(
        'Mesa llvmpipe 25 or later is several times faster than SwiftShader (Debian 12: apt-get install -t bookworm-backports mesa-vulkan-drivers)',
      );
    }
  }
  return lines;
}

function text(e: Examination): string {
  const others = e.adapters.filter((a) => a.name !== e.adapter.name).map((a) => a.name);
  const rows: [string, string][] = [
    ['adapter', `${e.adapter.name} (${e.adapter.description})`],
    ['chosen because', e.adapter.reason],
    ['also found', others.join('; ') || 'nothing else'],
    ['embedded driver', e.embeddedDriver === null ? 'not needed' : `@sparticuz/chromium ${e.embeddedDriver}`],
    ['kernel family', e.adapter.family],
    ['subgroups', [...new Set(e.adapter.subgroupSizes)].join(' to ')],
    ['largest binding', `${e.adapter.maxBindingMiB} MiB`],
    ...e.arithmetic.rows.map((r): [string, string] => [r.question, r.answer]),
    ['machine', `${e.machine.cpu}, ${e.machine.cores} cores, ${e.machine.memoryGiB} GiB, ${e.machine.os}`],
    [
      'versions',
      Object.entries(e.versions)
        .map(([k, v]) => `${k} ${v}`)
        .join(', '),
    ],
    ...e.notes.map((n): [string, string] => ['note', n]),
    ...e.advice.map((a): [string, string] => ['advice', a]),
  ];
  const width = Math.max(...rows.map(([k]) => k.length));
  return rows.map(([k, v]) => `${k.padEnd(width)}  ${v}`).join('\n');
}
