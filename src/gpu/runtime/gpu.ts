import { globals } from 'webgpu';
import {
  ArgumentError,
  DeviceLostError,
  DisposedError,
  DTypeError,
  GpuError,
  UnsupportedError,
} from '../../core/errors.ts';
import type { Ops } from '../../core/ops/index.ts';
import { type DType, type Shape, show, sizeOf, Tensor } from '../../core/tensor.ts';
import { createOps } from '../operators.ts';
import { type Choice, chooseAdapter, type Family, familyOf, requestAdapter } from './adapters.ts';
import { GpuTensor, type Storage } from './gpuTensor.ts';
import { BufferPool } from './pool.ts';
import { type GpuTexture, TexturePool } from './texturePool.ts';
import { filesOf, linkWgsl, readWgsl } from './wgsl.ts';

const { GPUBufferUsage, GPUMapMode, GPUShaderStage, GPUTextureUsage } = globals as unknown as Pick<
  typeof globalThis,
  'GPUBufferUsage' | 'GPUMapMode' | 'GPUShaderStage' | 'GPUTextureUsage'
>;

export interface OpenOptions {
  /** Part of the adapter's name; default: the environment variable SUBVOCAB_ADAPTER, else the best one found. */
  readonly adapter?: string;
  /** Force a kernel family. Default: what suits the adapter. */
  readonly family?: Family;
  /** Pretend that one binding holds at most this many bytes, to try the code for buffers in windows. */
  readonly maxBindingBytes?: number;
  /** Bytes of free buffers to keep for reuse. @defaultValue 1 GiB */
  readonly poolBytes?: number;
}

/** A tensor, or a window of it in elements: a start that is a multiple of 64 elements (256 bytes) and a length. */
export type Binding =
  | GpuTensor
  | { readonly tensor: GpuTensor; readonly offset: number; readonly length: number };

/** One dispatch of one entry point. Binding 0 holds `params`, then come `reads`, `writes` and `textures`. */
export interface Dispatch {
  /** A file under src/gpu, such as `cummax.wgsl`. */
  readonly file: string;
  readonly entry: string;
  /** Values of `override` declarations. */
  readonly constants?: Readonly<Record<string, number>>;
  /** The scalars of the uniform struct in order; `{ f32 }` marks a float, plain numbers are u32 or i32. */
  readonly params: readonly (number | { readonly f32: number })[];
  readonly reads?: readonly Binding[];
  readonly writes?: readonly Binding[];
  /** Scratch textures, which are only read. */
  readonly textures?: readonly GpuTexture[];
  /** Workgroups per dimension, or a u32 tensor that holds them at an element offset. */
  readonly groups:
    | readonly [number, number?, number?]
    | { readonly indirect: GpuTensor; readonly offset?: number };
}

/** Time that one dispatch took on the GPU, by its own clock. */
export interface DispatchTime {
  readonly entry: string;
  readonly ns: number;
}

const arenaBytes = 64 * 1024;
const maxDispatchesPerPass = 1024;

/**
 * An open GPU: uploads tensors, runs operators, reads results. Operators enqueue and return; `read` and `idle` wait.
 *
 * Commands are gathered into batches. A batch is submitted when a result is read, when its space for parameters is
 * used up, or before data is written that a pending command might still need as it was. An error of the GPU in a batch
 * rejects the reading of every tensor whose contents come from that batch.
 */
export class Gpu implements AsyncDisposable {
  readonly device: GPUDevice;
  readonly adapter: GPUAdapter;
  readonly info: GPUAdapterInfo;
  readonly choice: Choice;
  readonly family: Family;
  /** Most bytes that one storage binding may cover. */
  readonly maxBindingBytes: number;
  /** Most workgroups in one dimension of a dispatch. */
  readonly maxGroups: number;
  /** True when the `subgroups` feature is on. */
  readonly subgroups: boolean;
  readonly ops: Ops<GpuTensor>;
  readonly pool: BufferPool;
  readonly textures: TexturePool;
  readonly #instance: GPU;
  readonly #live = new Set<GpuTensor>();
  readonly #pipelines = new Map<string, GPUComputePipeline>();
  readonly #layouts = new Map<string, { group: GPUBindGroupLayout; pipeline: GPUPipelineLayout }>();
  readonly #overrides = new Map<string, string>();
  readonly #arena: GPUBuffer;
  readonly #staging = new ArrayBuffer(arenaBytes);
  readonly #failures: { batch: number; error: Error }[] = [];
  #arenaUsed = 0;
  #encoder: GPUCommandEncoder | undefined;
  #pass: GPUComputePassEncoder | undefined;
  #batch = 0;
  #entries = new Set<string>();
  #pending: Promise<void> = Promise.resolve();
  #frames: GpuTensor[][] = [];
  #lost: string | undefined;
  #disposed = false;
  #profile: { set: GPUQuerySet; entries: string[] } | undefined;

  /** Use `openGpu`. */
  constructor(instance: GPU, adapter: GPUAdapter, device: GPUDevice, choice: Choice, options: OpenOptions) {
    // The instance and the adapter must stay referenced for as long as the device lives, or the process crashes.
    this.#instance = instance;
    this.adapter = adapter;
    this.device = device;
    this.info = adapter.info;
    this.choice = choice;
    this.family = options.family ?? familyOf(adapter.info, choice.chosen);
    this.maxBindingBytes = Math.min(
      options.maxBindingBytes ?? Infinity,
      device.limits.maxStorageBufferBindingSize,
    );
    this.maxGroups = device.limits.maxComputeWorkgroupsPerDimension;
    this.subgroups = device.features.has('subgroups');
    const { STORAGE, COPY_SRC, COPY_DST, INDIRECT, UNIFORM } = GPUBufferUsage;
    this.pool = new BufferPool(
      device,
      STORAGE | COPY_SRC | COPY_DST | INDIRECT,
      options.poolBytes ?? 2 ** 30,
    );
    this.textures = new TexturePool(
      device,
      GPUTextureUsage.STORAGE_BINDING | GPUTextureUsage.COPY_DST,
      (options.poolBytes ?? 2 ** 30) / 4,
      () => this.flush(),
    );
    this.#arena = device.createBuffer({ size: arenaBytes, usage: UNIFORM | COPY_DST, label: 'params' });
    this.ops = createOps(this);
    device.lost.then(({ reason, message }) => {
      // Ours is destroyed on purpose only when it is disposed.
      if (!this.#disposed) this.#lost = message || reason;
    });
  }

  /** Number of tensors that were made and not yet disposed. */
  get liveTensors(): number {
    return this.#live.size;
  }

  /** Copy a host tensor to the GPU. f64 does not exist there: convert it first. */
  upload(t: Tensor): GpuTensor {
    if (t.dtype === 'f64') {
      throw new DTypeError(
        'upload',
        `a tensor of shape ${show(t.shape)} has dtype f64; the GPU takes f32, i32 and u32`,
      );
    }
    const out = this.empty(t.dtype, t.shape);
    // A write takes effect before the commands that are still gathered, which may use the same recycled buffer.
    this.flush();
    this.#scoped(() => {
      for (let at = 0; at < t.data.byteLength; at += 2 ** 28) {
        const bytes = Math.min(2 ** 28, t.data.byteLength - at);
        this.device.queue.writeBuffer(
          out.buffer,
          at,
          t.data.buffer as ArrayBuffer,
          t.data.byteOffset + at,
          bytes,
        );
      }
    });
    out.firstBatch = out.lastBatch = this.#batch;
    this.#batch++;
    return out;
  }

  /** A tensor with unspecified contents. */
  empty(dtype: DType, shape: Shape): GpuTensor {
    this.#alive('empty');
    if (dtype === 'f64') throw new DTypeError('empty', 'dtype f64 does not exist on the GPU; use f32');
    const bytes = Math.max(sizeOf(shape, 'empty') * 4, 16);
    const limit = this.device.limits.maxBufferSize;
    if (bytes > limit) {
      throw new UnsupportedError(
        'empty',
        `a tensor of shape ${show(shape)} needs ${bytes} bytes, and a buffer of this adapter holds ${limit}`,
      );
    }
    this.#open();
    return this.#adopt(
      new GpuTensor(this, dtype, shape, { buffer: this.pool.take(bytes, limit), references: 0 }, this.#batch),
    );
  }

  /** A tensor of zeros. */
  zeros(dtype: DType, shape: Shape): GpuTensor {
    const out = this.empty(dtype, shape);
    this.clear(out);
    return out;
  }

  /** A scratch texture of so many texels for the operator that runs; dispose it when its commands are enqueued. */
  texture(texels: number): GpuTexture {
    this.#alive('texture');
    this.#open();
    return this.textures.take(texels);
  }

  /** Fill a scratch texture with the elements of a tensor of vec4f, in order. */
  copyToTexture(from: GpuTensor, to: GpuTexture): void {
    this.#endPass();
    const encoder = this.#open();
    const { width } = to.texture;
    const texels = Math.ceil(from.size / 4);
    const rows = Math.floor(texels / width);
    const bytesPerRow = width * 16;
    const copy = (row: number, size: [number, number]): void => {
      if (size[0] === 0 || size[1] === 0) return;
      encoder.copyBufferToTexture(
        { buffer: from.buffer, offset: row * bytesPerRow, bytesPerRow },
        { texture: to.texture, origin: [0, row] },
        size,
      );
    };
    copy(0, [width, rows]);
    copy(rows, [texels % width, 1]);
  }

  /** Set every bit of a tensor to zero. */
  clear(t: GpuTensor): void {
    this.#endPass();
    this.#open().clearBuffer(t.buffer, 0, Math.max(t.size * 4, 16));
    t.lastBatch = this.#batch;
  }

  /** Copy elements between tensors of one dtype. */
  copy(from: GpuTensor, to: GpuTensor, length: number = from.size, fromOffset = 0, toOffset = 0): void {
    if (length === 0) return;
    this.#endPass();
    this.#open().copyBufferToBuffer(from.buffer, fromOffset * 4, to.buffer, toOffset * 4, length * 4);
    to.firstBatch = Math.min(to.firstBatch, from.firstBatch);
    to.lastBatch = this.#batch;
  }

  /** For `GpuTensor.reshape`. */
  view(t: GpuTensor, shape: Shape): GpuTensor {
    const out = this.#adopt(new GpuTensor(this, t.dtype, shape, t.storage, t.firstBatch));
    out.lastBatch = t.lastBatch;
    return out;
  }

  /**
   * Run the body of an operator. Every tensor that it makes and does not return is disposed at the end, and all of them
   * if it throws: a temporary cannot leak.
   */
  run<R>(op: string, inputs: readonly (GpuTensor | undefined)[], body: () => R): R {
    this.#alive(op);
    let first = this.#batch;
    for (const t of inputs) {
      if (t === undefined) continue;
      if (!(t instanceof GpuTensor))
        throw new ArgumentError(op, 'an input is not a GPU tensor; upload it with gpu.upload');
      if (t.gpu !== this) throw new ArgumentError(op, 'an input belongs to another GPU; read and upload it');
      if (t.disposed)
        throw new DisposedError(
          op,
          `an input of shape ${show(t.shape)} was disposed; keep it until it is used`,
        );
      first = Math.min(first, t.firstBatch);
    }
    const frame: GpuTensor[] = [];
    this.#frames.push(frame);
    let kept = new Set<GpuTensor>();
    try {
      const result = body();
      kept = new Set(tensorsOf(result));
      return result;
    } finally {
      this.#frames.pop();
      for (const t of frame) {
        if (!kept.has(t)) t[Symbol.dispose]();
        else {
          t.firstBatch = Math.min(t.firstBatch, first);
          t.lastBatch = this.#batch;
          this.#frames.at(-1)?.push(t);
        }
      }
    }
  }

  /** Enqueue one dispatch. */
  dispatch(d: Dispatch): void {
    const reads = d.reads ?? [];
    const writes = d.writes ?? [];
    const groups = 'indirect' in d.groups ? undefined : d.groups;
    if (groups?.includes(0)) return;
    if (this.#arenaUsed + 256 > arenaBytes || this.#entries.size > maxDispatchesPerPass) this.flush();
    const encoder = this.#open();
    const layout = this.#layout(d);
    const pipeline = this.#pipeline(d, layout.pipeline);
    const entries: GPUBindGroupEntry[] = [{ binding: 0, resource: this.#params(d.params) }];
    for (const b of [...reads, ...writes]) {
      entries.push({ binding: entries.length, resource: this.#resource(d, b) });
    }
    for (const texture of d.textures ?? []) {
      entries.push({ binding: entries.length, resource: texture.view });
    }
    const group = this.device.createBindGroup({ layout: layout.group, entries, label: d.entry });
    this.#entries.add(d.entry);
    const profile = this.#profile;
    if (profile !== undefined && profile.entries.length < profile.set.count / 2) {
      this.#endPass();
      const at = 2 * profile.entries.push(d.entry);
      const timestampWrites = {
        querySet: profile.set,
        beginningOfPassWriteIndex: at - 2,
        endOfPassWriteIndex: at - 1,
      };
      this.#pass = encoder.beginComputePass({ timestampWrites });
    }
    this.#pass ??= encoder.beginComputePass();
    this.#pass.setPipeline(pipeline);
    this.#pass.setBindGroup(0, group);
    if (groups !== undefined) this.#pass.dispatchWorkgroups(groups[0], groups[1] ?? 1, groups[2] ?? 1);
    else if ('indirect' in d.groups) {
      this.#pass.dispatchWorkgroupsIndirect(d.groups.indirect.buffer, (d.groups.offset ?? 0) * 4);
    }
    if (profile !== undefined) this.#endPass();
    for (const b of writes) ('tensor' in b ? b.tensor : b).lastBatch = this.#batch;
  }

  /** Fold a number of workgroups into a grid that the adapter accepts; kernels undo it with `linearGroup`. */
  grid(count: number): [number, number, number] {
    if (count <= this.maxGroups) return [count, 1, 1];
    const y = Math.ceil(count / this.maxGroups);
    return [Math.ceil(count / y), y, 1];
  }

  /** Submit what was enqueued. Called for you by `read`, `idle` and `upload`. */
  flush(): void {
    const encoder = this.#encoder;
    if (encoder === undefined) return;
    this.#endPass();
    this.#encoder = undefined;
    if (this.#arenaUsed > 0) this.device.queue.writeBuffer(this.#arena, 0, this.#staging, 0, this.#arenaUsed);
    this.device.queue.submit([encoder.finish()]);
    this.#arenaUsed = 0;
    const entries = [...this.#entries].join(', ');
    this.#entries.clear();
    this.#collectErrors(this.#batch, entries);
    this.#batch++;
  }

  /** Wait until the GPU has nothing left to do. Rejects if anything failed since it was last asked. */
  async idle(): Promise<void> {
    this.#alive('idle');
    this.flush();
    await this.device.queue.onSubmittedWorkDone();
    await this.#pending;
    this.#alive('idle');
    const failure = this.#failures.shift();
    if (failure !== undefined) throw failure.error;
  }

  /** For `GpuTensor.read`. */
  async read(t: GpuTensor): Promise<Tensor> {
    this.#alive('read');
    const bytes = t.size * 4;
    const { firstBatch, lastBatch } = t;
    const data = new ArrayBuffer(bytes);
    const source = t.buffer;
    this.flush();
    for (let at = 0; at < bytes; at += 2 ** 28) {
      const length = Math.min(2 ** 28, bytes - at);
      const staging = this.#scoped(() => {
        const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
        const staging = this.device.createBuffer({ size: length, usage, label: 'read' });
        const encoder = this.device.createCommandEncoder();
        encoder.copyBufferToBuffer(source, at, staging, 0, length);
        this.device.queue.submit([encoder.finish()]);
        return staging;
      });
      try {
        await staging.mapAsync(GPUMapMode.READ);
        new Uint8Array(data, at, length).set(new Uint8Array(staging.getMappedRange()));
      } catch (error) {
        await this.#pending;
        this.#alive('read');
        throw (
          this.#failures.shift()?.error ??
          new GpuError('read', String((error as Error).message), { cause: error })
        );
      } finally {
        staging.destroy();
      }
    }
    await this.#pending;
    this.#alive('read');
    const failure = this.#failures.find((f) => f.batch >= firstBatch && f.batch <= lastBatch);
    if (failure !== undefined) throw failure.error;
    const Elements = { f32: Float32Array, i32: Int32Array, u32: Uint32Array, f64: Float64Array }[t.dtype];
    return new Tensor(t.dtype, t.shape, new Elements(data));
  }

  /** Run a function and time each dispatch that it enqueues, by the GPU's own clock. Needs `timestamp-query`. */
  async profile<R>(body: () => R, maxDispatches = 2048): Promise<{ result: R; times: DispatchTime[] }> {
    if (!this.device.features.has('timestamp-query')) {
      throw new UnsupportedError(
        'profile',
        'this adapter has no timestamp queries; time the call from the host',
      );
    }
    this.flush();
    const set = this.device.createQuerySet({ type: 'timestamp', count: Math.min(4096, 2 * maxDispatches) });
    this.#profile = { set, entries: [] };
    try {
      const result = body();
      const { entries } = this.#profile;
      this.#profile = undefined;
      if (entries.length === 0) return { result, times: [] };
      this.#endPass();
      const { QUERY_RESOLVE, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
      const bytes = entries.length * 16;
      const resolved = this.device.createBuffer({ size: bytes, usage: QUERY_RESOLVE | COPY_SRC });
      const mapped = this.device.createBuffer({ size: bytes, usage: COPY_DST | MAP_READ });
      const encoder = this.#open();
      encoder.resolveQuerySet(set, 0, entries.length * 2, resolved, 0);
      encoder.copyBufferToBuffer(resolved, 0, mapped, 0, bytes);
      this.flush();
      await mapped.mapAsync(GPUMapMode.READ);
      const stamps = new BigUint64Array(mapped.getMappedRange().slice(0));
      resolved.destroy();
      mapped.destroy();
      const times = entries.map((entry, i) => ({ entry, ns: Number(stamps[2 * i + 1]! - stamps[2 * i]!) }));
      return { result, times };
    } finally {
      this.#profile = undefined;
      set.destroy();
    }
  }

  /**
   * Replace the text of a kernel file, or of a file that it uses, until the result is disposed. This is how the specs
   * prove that they can fail:
   * they run deliberately wrong variants of each kernel and demand that these are rejected.
   */
  override(file: string, source: string): Disposable {
    this.#overrides.set(file, source);
    this.#forget(file);
    return {
      [Symbol.dispose]: () => {
        this.#forget(file);
        this.#overrides.delete(file);
      },
    };
  }

  /** Drop the pipelines whose text comes from a file, at least in part; the others are expensive to make again. */
  #forget(file: string): void {
    for (const id of this.#pipelines.keys()) {
      const own = id.slice(0, id.indexOf(':'));
      if (filesOf(own, (f) => this.#source(f)).includes(file)) this.#pipelines.delete(id);
    }
  }

  #source(file: string): string {
    return this.#overrides.get(file) ?? readWgsl(file);
  }

  /** For specs: behave from now on as after the loss of the device. */
  loseForTest(reason: string): void {
    this.#lost = reason;
  }

  /** For `GpuTensor`: give up one reference to a buffer. */
  release(t: GpuTensor, storage: Storage): void {
    this.#live.delete(t);
    storage.references--;
    if (storage.references > 0 || this.#disposed) return;
    // A full pool destroys what it is given, and commands that still wait may use the buffer.
    if (this.pool.isFull(storage.buffer)) this.flush();
    this.pool.give(storage.buffer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#disposed) return;
    if (this.#lost === undefined) {
      this.flush();
      await this.device.queue.onSubmittedWorkDone().catch(() => {});
      await this.#pending;
    }
    this.#disposed = true;
    this.device.destroy();
    void this.#instance;
  }

  #adopt(t: GpuTensor): GpuTensor {
    this.#live.add(t);
    this.#frames.at(-1)?.push(t);
    return t;
  }

  #alive(op: string): void {
    if (this.#lost !== undefined) {
      throw new DeviceLostError(
        op,
        `the GPU was lost (${this.#lost}); open it again and start from the last saved state`,
      );
    }
    if (this.#disposed) throw new DisposedError(op, 'the GPU was closed; open it again with openGpu');
  }

  /** The encoder of the current batch. Its error scopes stay open until the batch is submitted. */
  #open(): GPUCommandEncoder {
    if (this.#encoder === undefined) {
      this.device.pushErrorScope('validation');
      this.device.pushErrorScope('out-of-memory');
      this.device.pushErrorScope('internal');
      this.#encoder = this.device.createCommandEncoder();
    }
    return this.#encoder;
  }

  #endPass(): void {
    this.#pass?.end();
    this.#pass = undefined;
  }

  /** Run GPU calls outside of a batch, with their errors collected under the current batch's number. */
  #scoped<R>(body: () => R, what = 'a transfer'): R {
    this.device.pushErrorScope('validation');
    this.device.pushErrorScope('out-of-memory');
    this.device.pushErrorScope('internal');
    try {
      return body();
    } finally {
      this.#collectErrors(this.#batch, what);
    }
  }

  #collectErrors(batch: number, what: string): void {
    const results = [this.device.popErrorScope(), this.device.popErrorScope(), this.device.popErrorScope()];
    const collected = Promise.allSettled(results).then((all) => {
      for (const r of all) {
        if (r.status !== 'fulfilled' || r.value === null) continue;
        // The first error of a batch is its cause: a shader that does not compile, then a pipeline without it.
        if (this.#failures.some((f) => f.batch === batch)) continue;
        const memory = r.value.constructor?.name === 'GPUOutOfMemoryError';
        const message = memory
          ? `out of GPU memory while running ${what}: ${r.value.message}`
          : `${what}: ${r.value.message}`;
        this.#failures.push({ batch, error: new GpuError('gpu', message, { cause: r.value }) });
      }
    });
    this.#pending = this.#pending.then(() => collected);
  }

  #params(params: Dispatch['params']): GPUBufferBinding {
    const view = new DataView(this.#staging, this.#arenaUsed, 256);
    if (params.length > 64)
      throw new ArgumentError('dispatch', `${params.length} parameters do not fit into 256 bytes`);
    params.forEach((p, i) => {
      if (typeof p === 'object') view.setFloat32(i * 4, p.f32, true);
      else view.setUint32(i * 4, p, true);
    });
    const size = Math.max(16, Math.ceil(params.length / 4) * 16);
    const binding = { buffer: this.#arena, offset: this.#arenaUsed, size };
    this.#arenaUsed += 256;
    return binding;
  }

  #resource(d: Dispatch, b: Binding): GPUBufferBinding {
    const tensor = 'tensor' in b ? b.tensor : b;
    const offset = 'tensor' in b ? b.offset * 4 : 0;
    const size = Math.max('tensor' in b ? b.length * 4 : tensor.size * 4, 16);
    if (size > this.maxBindingBytes) {
      const need = `a tensor of shape ${show(tensor.shape)} needs a binding of ${size} bytes`;
      throw new UnsupportedError(
        d.entry,
        `${need}, this adapter binds ${this.maxBindingBytes}; use fewer rows at a time`,
      );
    }
    return { buffer: tensor.buffer, offset, size };
  }

  #layout(d: Dispatch): { group: GPUBindGroupLayout; pipeline: GPUPipelineLayout } {
    const textures = d.textures ?? [];
    const id = `${d.reads?.length ?? 0},${d.writes?.length ?? 0},${textures.length}`;
    let layout = this.#layouts.get(id);
    if (layout === undefined) {
      const entries: GPUBindGroupLayoutEntry[] = [];
      const visibility = GPUShaderStage.COMPUTE;
      const buffer = (type: GPUBufferBindingType): void => {
        entries.push({ binding: entries.length, visibility, buffer: { type } });
      };
      buffer('uniform');
      for (const _ of d.reads ?? []) buffer('read-only-storage');
      for (const _ of d.writes ?? []) buffer('storage');
      for (const _ of textures) {
        entries.push({
          binding: entries.length,
          visibility,
          storageTexture: { access: 'read-only', format: 'rgba32float' },
        });
      }
      const group = this.device.createBindGroupLayout({ entries });
      layout = { group, pipeline: this.device.createPipelineLayout({ bindGroupLayouts: [group] }) };
      this.#layouts.set(id, layout);
    }
    return layout;
  }

  #pipeline(d: Dispatch, layout: GPUPipelineLayout): GPUComputePipeline {
    const id = `${d.file}:${d.entry}:${JSON.stringify(d.constants ?? {})}:${d.reads?.length ?? 0}:${d.textures?.length ?? 0}`;
    let pipeline = this.#pipelines.get(id);
    if (pipeline === undefined) {
      const code = linkWgsl(d.file, (file) => this.#source(file));
      // In a scope of its own: what the compiler says comes before the complaints about the pipeline without it.
      const module = this.#scoped(
        () => this.device.createShaderModule({ code, label: d.file }),
        `the compiler of ${d.file}`,
      );
      const constants = { ...d.constants };
      pipeline = this.device.createComputePipeline({
        layout,
        compute: { module, entryPoint: d.entry, constants },
        label: `${d.file}:${d.entry}`,
      });
      this.#pipelines.set(id, pipeline);
    }
    return pipeline;
  }
}

function tensorsOf(result: unknown): GpuTensor[] {
  if (result instanceof GpuTensor) return [result];
  if (typeof result !== 'object' || result === null) return [];
  return Object.values(result).flatMap(tensorsOf);
}

/**
 * Open the best adapter of this machine, or the one that is asked for, and check that it computes.
 * @throws UnsupportedError with the remedy when there is none
 */
export async function openGpu(options: OpenOptions = {}): Promise<Gpu> {
  const choice = await chooseAdapter(options.adapter);
  const { instance, adapter } = await requestAdapter(choice);
  const l = adapter.limits;
  const device = await adapter.requestDevice({
    label: 'subvocab',
    requiredFeatures: (['timestamp-query', 'subgroups'] as GPUFeatureName[]).filter((f) =>
      adapter.features.has(f),
    ),
    requiredLimits: {
      maxBufferSize: l.maxBufferSize,
      maxStorageBufferBindingSize: l.maxStorageBufferBindingSize,
      maxComputeWorkgroupStorageSize: l.maxComputeWorkgroupStorageSize,
      maxComputeInvocationsPerWorkgroup: l.maxComputeInvocationsPerWorkgroup,
      maxComputeWorkgroupSizeX: l.maxComputeWorkgroupSizeX,
      maxStorageBuffersPerShaderStage: l.maxStorageBuffersPerShaderStage,
    },
  });
  const gpu = new Gpu(instance, adapter, device, choice, options);
  try {
    await checkKnownAnswer(gpu);
  } catch (error) {
    await gpu[Symbol.asyncDispose]();
    throw error;
  }
  return gpu;
}

/** Run a kernel whose answer is known: an adapter that does nothing (Dawn has one) must not pass for one that works. */
export async function checkKnownAnswer(gpu: Gpu): Promise<void> {
  const n = 1000;
  const x = new Tensor(
    'u32',
    [n],
    Uint32Array.from({ length: n }, (_, i) => i * 2654435761),
  );
  using gx = gpu.upload(x);
  using gy = gpu.empty('u32', [n]);
  gpu.dispatch({
    file: 'lib/knownAnswer.wgsl',
    entry: 'knownAnswer',
    params: [n],
    reads: [gx],
    writes: [gy],
    groups: [16],
  });
  const got = await gy.read();
  const wrong = got.data.findIndex((v, i) => v !== (Math.imul(x.data[i]!, 747796405) + i) >>> 0);
  if (wrong >= 0) {
    const name = gpu.choice.chosen.name;
    throw new UnsupportedError(
      'openGpu',
      `the adapter "${name}" gave a wrong answer to a known question (element ${wrong} of ${n}); choose another with --adapter`,
    );
  }
}
