import { constants } from 'node:os';
import { create } from 'webgpu';
import { UnsupportedError } from '../../core/errors.ts';
import { embeddedDriver } from './embedded.ts';

/** Which of the two kernel families an adapter runs: see docs/architecture.md. */
export type Family = 'gpu' | 'cpu-vulkan';

/** One adapter that Dawn can use. */
export interface FoundAdapter {
  readonly name: string;
  readonly backend: string;
  readonly software: boolean;
}

/** What was found on this machine, what was chosen, and why. */
export interface Choice {
  readonly adapters: readonly FoundAdapter[];
  readonly chosen: FoundAdapter;
  readonly reason: string;
  /** Version of the npm package whose driver is in use or at hand, if it was needed. */
  readonly embedded?: string;
  readonly notes: readonly string[];
}

/** Environment variable that names an adapter, as the option does. */
export const adapterVariable = 'SUBVOCAB_ADAPTER';

const softwareNames = /llvmpipe|lavapipe|swiftshader|software|basic render|warp/i;

/**
 * Find the adapters of this machine and choose one: a GPU through the system's driver, else a software driver of the
 * system, else the embedded SwiftShader. A wanted substring (case-insensitive) overrides the order.
 * @throws UnsupportedError with the list of adapters when the wanted one is not there, or with the remedy when none is
 */
export async function chooseAdapter(
  wanted: string | undefined = process.env[adapterVariable],
): Promise<Choice> {
  const notes: string[] = [];
  const match = (a: FoundAdapter): boolean => a.name.toLowerCase().includes((wanted ?? '').toLowerCase());
  let adapters = hasVulkanLoader() ? await listAdapters() : [];
  let embedded: string | undefined;
  if (wanted ? !adapters.some(match) : adapters.length === 0) {
    embedded = attachEmbedded(notes);
    if (embedded !== undefined) adapters = await listAdapters();
  }
  const better = adapters.find((a) => match(a) && !a.software);
  const chosen = better ?? adapters.find(match);
  if (chosen === undefined) {
    const list = adapters.map((a) => `"${a.name}"`).join(', ');
    const why = notes.length > 0 ? `; the embedded software driver: ${notes.join('; ')}` : '';
    throw new UnsupportedError(
      'openGpu',
      wanted && list
        ? `no adapter's name contains "${wanted}"; there are ${list}`
        : `no WebGPU adapter was found${why}; install a Vulkan driver (Debian: mesa-vulkan-drivers 25 from bookworm-backports)`,
    );
  }
  const reason = wanted
    ? `its name contains "${wanted}"`
    : !chosen.software
      ? 'it is a GPU with a driver of the system'
      : embedded === undefined
        ? 'there is no GPU; this is a software driver of the system'
        : 'there is no GPU and no recent software driver in the system; this one comes with the npm packages';
  return { adapters, chosen, reason, notes, ...(embedded === undefined ? {} : { embedded }) };
}

/** glibc's and musl's flag for libraries that stay mapped; Node does not name it. */
const RTLD_NODELETE = 0x1000;

/** False on a Linux without a Vulkan loader: Dawn would then complain on stderr before it finds nothing. */
function hasVulkanLoader(): boolean {
  if (process.platform !== 'linux') return true;
  try {
    process.dlopen({ exports: {} }, 'libvulkan.so.1', constants.dlopen.RTLD_NOW | RTLD_NODELETE);
    return true;
  } catch (error) {
    return !/cannot open shared object|No such file/.test((error as Error).message);
  }
}

/** Make the embedded driver known to the Vulkan loader of this process. Returns its version. */
function attachEmbedded(notes: string[]): string | undefined {
  const driver = embeddedDriver((reason) => notes.push(reason));
  if (driver === undefined) return undefined;
  const add = process.env.VK_ADD_DRIVER_FILES;
  if (process.env.VK_DRIVER_FILES) process.env.VK_DRIVER_FILES += `:${driver.icd}`;
  else if (!add?.includes(driver.icd))
    process.env.VK_ADD_DRIVER_FILES = add ? `${add}:${driver.icd}` : driver.icd;
  try {
    // Dawn asks the system for "libvulkan.so.1". Where the system has none, a loader that is already mapped under that
    // name serves: mapping it is all that this call is for. It is no Node addon, so the call throws, as expected, and
    // would unmap it again; RTLD_NODELETE keeps it.
    process.dlopen({ exports: {} }, driver.loader, constants.dlopen.RTLD_NOW | RTLD_NODELETE);
  } catch {}
  return driver.version;
}

/** Ask Dawn for an adapter that cannot exist; its refusal lists those that do. */
async function listAdapters(): Promise<FoundAdapter[]> {
  try {
    await create([...backendFlags(), 'adapter=\u0001none\u0001']).requestAdapter();
    return [];
  } catch (error) {
    const lines = String((error as Error).message).matchAll(/backend: '([^']*)', name: '([^']*)'/g);
    return [...lines].map(([, backend = '', name = '']) => ({
      backend,
      name,
      software: softwareNames.test(name),
    }));
  }
}

/** Dawn's own name for the backend to use; the Null backend does no work and is never taken silently. */
function backendFlags(): string[] {
  const backend = process.platform === 'darwin' ? 'metal' : process.platform === 'win32' ? 'd3d12' : 'vulkan';
  return [`backend=${backend}`];
}

/** Open a Dawn instance on the chosen adapter. Keep both referenced for as long as the device lives. */
export async function requestAdapter(choice: Choice): Promise<{ instance: GPU; adapter: GPUAdapter }> {
  const instance = create([
    ...backendFlags(),
    `adapter=${choice.chosen.name}`,
    // Without this, timestamps are rounded to 65,536 ns.
    'disable-dawn-features=timestamp_quantization',
  ]) as unknown as GPU;
  const adapter = await instance.requestAdapter({ powerPreference: 'high-performance' });
  if (adapter === null) {
    throw new UnsupportedError(
      'openGpu',
      `the adapter "${choice.chosen.name}" cannot be opened; run: subvocab doctor`,
    );
  }
  return { instance, adapter };
}

/** The kernel family that suits an adapter. A CPU pays dearly for barriers and shared memory; a GPU wants them. */
export function familyOf(info: GPUAdapterInfo, chosen: FoundAdapter): Family {
  const width = info.subgroupMaxSize ?? 0;
  const narrow = width > 0 && width <= 8 && info.vendor !== 'intel';
  return chosen.software || info.isFallbackAdapter || narrow ? 'cpu-vulkan' : 'gpu';
}
