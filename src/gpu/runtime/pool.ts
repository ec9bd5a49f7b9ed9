/** Free GPU buffers by size, so that a step in steady state creates none. */
export class BufferPool {
  readonly #device: GPUDevice;
  readonly #usage: number;
  readonly #free = new Map<number, GPUBuffer[]>();
  readonly #capacity: number;
  #freeBytes = 0;
  /** How many buffers were ever created: constant in steady state. */
  created = 0;
  /** Bytes in use and in the pool, and the highest they ever were. */
  bytes = 0;
  peakBytes = 0;

  /** @param capacity bytes of free buffers to keep; above it, returned buffers are destroyed */
  constructor(device: GPUDevice, usage: number, capacity: number) {
    this.#device = device;
    this.#usage = usage;
    this.#capacity = capacity;
  }

  take(bytes: number, limit: number): GPUBuffer {
    const size = Math.min(sizeClass(bytes), limit);
    const buffer = this.#free.get(size)?.pop();
    if (buffer !== undefined) {
      this.#freeBytes -= size;
      return buffer;
    }
    this.created++;
    this.bytes += size;
    this.peakBytes = Math.max(this.peakBytes, this.bytes);
    return this.#device.createBuffer({ size, usage: this.#usage });
  }

  /** True when `give` would destroy this buffer. */
  isFull(buffer: GPUBuffer): boolean {
    return this.#freeBytes + buffer.size > this.#capacity;
  }

  give(buffer: GPUBuffer): void {
    if (this.isFull(buffer)) {
      this.bytes -= buffer.size;
      buffer.destroy();
      return;
    }
    this.#freeBytes += buffer.size;
    const list = this.#free.get(buffer.size);
    if (list === undefined) this.#free.set(buffer.size, [buffer]);
    else list.push(buffer);
  }

  /** Destroy the free buffers. */
  trim(): void {
    for (const buffer of [...this.#free.values()].flat()) {
      this.bytes -= buffer.size;
      buffer.destroy();
    }
    this.#free.clear();
    this.#freeBytes = 0;
  }
}

/** Four classes per power of two: at most a quarter of a buffer is unused, and sizes that nearly agree share buffers. */
function sizeClass(bytes: number): number {
  const least = Math.max(bytes, 256);
  const step = 2 ** Math.max(Math.floor(Math.log2(least)) - 2, 4);
  return Math.ceil(least / step) * step;
}
