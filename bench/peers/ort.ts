import * as native from 'onnxruntime-node';
import type * as Web from 'onnxruntime-web';
import * as web from 'onnxruntime-web/webgpu';
import type { Peer, Prepared, Result } from '../support/work.ts';
import { versionOf } from './environment.ts';
import { onnxWork } from './onnx.ts';

/** onnxruntime-web: its WebGPU provider on Dawn, or wasm on the CPU. Inputs and results stay where the provider is. */
export function ortWeb(provider: 'webgpu' | 'wasm', threads = 1): Peer {
  return {
    name: `onnxruntime-web ${provider}${provider === 'wasm' ? ` ${threads} thread${threads > 1 ? 's' : ''}` : ''}`,
    version: versionOf('onnxruntime-web'),
    kind: provider,
    async prepare(work) {
      const onnx = onnxWork(work);
      if (onnx === null) return null;
      web.env.wasm.numThreads = threads;
      const session = await web.InferenceSession.create(onnx.model, {
        executionProviders: [provider],
        logSeverityLevel: 3,
        ...(provider === 'webgpu' ? { preferredOutputLocation: 'gpu-buffer' as const } : {}),
      });
      const device = provider === 'webgpu' ? ((await web.env.webgpu.device) as GPUDevice) : undefined;
      const feeds: Record<string, Web.Tensor> = {};
      const owned: GPUBuffer[] = [];
      for (const [name, [data, dims]] of Object.entries(onnx.inputs)) {
        if (device === undefined) {
          feeds[name] = new web.Tensor('float32', data, dims);
          continue;
        }
        const buffer = device.createBuffer({
          size: Math.ceil(data.byteLength / 16) * 16,
          usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC,
        });
        device.queue.writeBuffer(buffer, 0, data as Float32Array<ArrayBuffer>);
        owned.push(buffer);
        feeds[name] = web.Tensor.fromGpuBuffer(buffer as never, { dataType: 'float32', dims: [...dims] });
      }
      let last: Record<string, Web.Tensor> = {};
      const drop = () => {
        for (const t of Object.values(last)) t.dispose();
        last = {};
      };
      return {
        ...(onnx.note === undefined ? {} : { note: onnx.note }),
        async run() {
          drop();
          last = (await session.run(feeds)) as Record<string, Web.Tensor>;
          await device?.queue.onSubmittedWorkDone();
        },
        async read(): Promise<Result> {
          return Promise.all(onnx.outputs.map(async (name) => narrow(await last[name]!.getData())));
        },
        async dispose() {
          drop();
          for (const b of owned) b.destroy();
          await session.release();
        },
      } satisfies Prepared;
    },
  };
}

/** onnxruntime-node: the native CPU provider, or its own WebGPU provider, whose inputs and results are on the host. */
export function ortNode(provider: 'webgpu' | 'cpu', threads?: number): Peer {
  return {
    name: `onnxruntime-node ${provider}${threads === undefined ? '' : ` ${threads} thread${threads > 1 ? 's' : ''}`}`,
    version: versionOf('onnxruntime-node'),
    kind: provider === 'cpu' ? 'native' : 'webgpu',
    async prepare(work) {
      const onnx = onnxWork(work);
      if (onnx === null) return null;
      const session = await native.InferenceSession.create(onnx.model, {
        executionProviders: [provider],
        logSeverityLevel: 3,
        ...(threads === undefined ? {} : { intraOpNumThreads: threads }),
      });
      const feeds: Record<string, native.Tensor> = {};
      for (const [name, [data, dims]] of Object.entries(onnx.inputs)) {
        feeds[name] = new native.Tensor('float32', data, [...dims]);
      }
      let last: Record<string, native.Tensor> = {};
      const copies = provider === 'webgpu' ? 'copies to and from the device are included' : undefined;
      const note = [onnx.note, copies].filter((s) => s !== undefined).join('; ');
      return {
        ...(note === '' ? {} : { note }),
        async run() {
          last = (await session.run(feeds)) as Record<string, native.Tensor>;
        },
        async read(): Promise<Result> {
          return onnx.outputs.map((name) => narrow(last[name]!.data));
        },
        async dispose() {
          await session.release();
        },
      } satisfies Prepared;
    },
  };
}

/** ONNX indices are 64 bits wide; ours are 32. */
function narrow(data: unknown): Float32Array | Int32Array {
  if (data instanceof Float32Array || data instanceof Int32Array) return data.slice();
  if (data instanceof BigInt64Array) return Int32Array.from(data, Number);
  throw new Error(`unexpected output ${Object.prototype.toString.call(data)}`);
}
