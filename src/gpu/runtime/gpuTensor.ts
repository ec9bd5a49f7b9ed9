import { DisposedError, ShapeError } from '../../core/errors.ts';
import { type AnyTensor, type DType, type Shape, show, sizeOf, type Tensor } from '../../core/tensor.ts';
import type { Gpu } from './gpu.ts';

/** A GPU buffer shared by one or more tensors; it goes back to the pool when the last of them is disposed. */
export interface Storage {
  readonly buffer: GPUBuffer;
  references: number;
}

/** A tensor on the GPU. Whoever made it owns it: dispose it, or bind it with `using`. Operators never consume it. */
export class GpuTensor implements AnyTensor {
  readonly gpu: Gpu;
  readonly dtype: DType;
  readonly shape: Shape;
  readonly size: number;
  /** The first and the last batch of commands that this tensor's contents depend on; see `Gpu.flush`. */
  firstBatch: number;
  lastBatch: number;
  #storage: Storage | undefined;

  constructor(gpu: Gpu, dtype: DType, shape: Shape, storage: Storage, batch: number) {
    this.gpu = gpu;
    this.dtype = dtype;
    this.shape = Object.freeze([...shape]);
    this.size = sizeOf(shape);
    this.firstBatch = batch;
    this.lastBatch = batch;
    this.#storage = storage;
    storage.references++;
  }

  get disposed(): boolean {
    return this.#storage === undefined;
  }

  /** The buffer. @throws DisposedError */
  get buffer(): GPUBuffer {
    if (this.#storage === undefined) {
      throw new DisposedError(
        'GpuTensor',
        `the tensor of shape ${show(this.shape)} was disposed; keep it until it is read`,
      );
    }
    return this.#storage.buffer;
  }

  /** The same elements under another shape, without a copy; dispose it as any other tensor. @throws ShapeError */
  reshape(shape: Shape): GpuTensor {
    if (sizeOf(shape, 'reshape') !== this.size) {
      throw new ShapeError(
        'reshape',
        `${show(this.shape)} holds ${this.size} elements, ${show(shape)} does not`,
      );
    }
    return this.gpu.view(this, shape);
  }

  /** Wait for the GPU and copy the contents to the host. Rejects if any work they depend on failed. */
  read(): Promise<Tensor> {
    return this.gpu.read(this);
  }

  [Symbol.dispose](): void {
    const storage = this.#storage;
    if (storage === undefined) return;
    this.#storage = undefined;
    this.gpu.release(this, storage);
  }

  /** For `Gpu` only. */
  get storage(): Storage {
    void this.buffer;
    return this.#storage as Storage;
  }
}
