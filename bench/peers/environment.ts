/**
 * What the peers expect of a browser, put on `globalThis` while they run: `navigator.gpu`, the GPU classes,
 * and a `writeBuffer` that takes shared memory.
 */
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';

/** The folder of the installed peers, for their wasm files. */
export const peerFolder: string = new URL('./node_modules/', import.meta.url).pathname;

/** Version of an installed peer. */
export function versionOf(name: string): string {
  return (createRequire(import.meta.url)(`./node_modules/${name}/package.json`) as { version: string })
    .version;
}

/**
 * Give the peers a GPU. Dawn for Node refuses `writeBuffer` from a SharedArrayBuffer, which browsers accept and
 * the wasm heap of onnxruntime-web is; the wrapper copies first.
 * @param gpu the object of `webgpu`'s `create`, which decides the adapter
 * @param globals the GPU classes of the same package
 */
export function installBrowserGpu(gpu: GPU, globals: object): void {
  Object.assign(globalThis, globals);
  Object.defineProperty(globalThis, 'navigator', {
    value: {
      gpu,
      userAgent: 'Mozilla/5.0 (X11; Linux x86_64) Node',
      hardwareConcurrency: availableParallelism(),
      language: 'en',
    },
    configurable: true,
    writable: true,
  });
  const queue = GPUQueue.prototype as unknown as { writeBuffer: (...args: unknown[]) => void };
  const original = queue.writeBuffer;
  queue.writeBuffer = function (...args: unknown[]): void {
    const [buffer, offset, data, first = 0, size] = args as [
      unknown,
      number,
      ArrayBufferView,
      number?,
      number?,
    ];
    const memory: unknown = ArrayBuffer.isView(data) ? data.buffer : data;
    if (!(memory instanceof SharedArrayBuffer)) {
      original.apply(this, args);
      return;
    }
    const unit = (data as Partial<Uint8Array>).BYTES_PER_ELEMENT ?? 1;
    const start = (data.byteOffset ?? 0) + first * unit;
    const length = size === undefined ? data.byteLength - first * unit : size * unit;
    original.call(this, buffer, offset, new Uint8Array(memory, start, length).slice());
  };
}
