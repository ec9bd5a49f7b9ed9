import { UnsupportedError } from '../../core/errors.ts';

/**
 * A scratch array of vec4f that lives in a storage texture: texel i is at (i mod width, i / width). Software drivers read
 * a texel with one 128-bit load, and an element of a buffer with four checked ones; see docs/matmul.md.
 * Contents are unspecified at first. Dispose it as soon as the commands that use it are enqueued.
 */
export class GpuTexture implements Disposable {
  readonly texture: GPUTexture;
  readonly view: GPUTextureView;
  /** log2 of the width. */
  readonly widthBits: number;
  readonly #release: (t: GpuTexture) => void;

  constructor(texture: GPUTexture, release: (t: GpuTexture) => void) {
    this.texture = texture;
    this.view = texture.createView();
    this.widthBits = Math.log2(texture.width);
    this.#release = release;
  }

  get bytes(): number {
    return this.texture.width * this.texture.height * 16;
  }

  [Symbol.dispose](): void {
    this.#release(this);
  }
}

/** Free scratch textures by size, so that a step in steady state creates none. */
export class TexturePool {
  readonly #device: GPUDevice;
  readonly #usage: number;
  readonly #flush: () => void;
  readonly #free = new Map<string, GpuTexture[]>();
  readonly #capacity: number;
  #freeBytes = 0;
  /** How many textures were ever created: constant in steady state. */
  created = 0;

  /** @param capacity bytes of free textures to keep; @param flush submits the commands that may still use one */
  constructor(device: GPUDevice, usage: number, capacity: number, flush: () => void) {
    this.#device = device;
    this.#usage = usage;
    this.#capacity = capacity;
    this.#flush = flush;
  }

  take(texels: number): GpuTexture {
    const limit = this.#device.limits.maxTextureDimension2D;
    const widest = 2 ** Math.floor(Math.log2(limit));
    const width = texels <= 1024 * limit ? 1024 : widest;
    const rows = Math.max(Math.ceil(texels / width), 1);
    if (rows > limit) {
      throw new UnsupportedError(
        'texture',
        `${texels} texels are more than a texture of this adapter holds (${widest * limit}); use smaller matrices`,
      );
    }
    const step = 2 ** Math.max(Math.floor(Math.log2(rows)) - 2, 0);
    const height = Math.min(Math.ceil(rows / step) * step, limit);
    const free = this.#free.get(`${width},${height}`)?.pop();
    if (free !== undefined) {
      this.#freeBytes -= free.bytes;
      return free;
    }
    this.created++;
    const texture = this.#device.createTexture({
      size: [width, height],
      format: 'rgba32float',
      usage: this.#usage,
      label: 'scratch',
    });
    return new GpuTexture(texture, (t) => this.#give(t));
  }

  #give(t: GpuTexture): void {
    if (this.#freeBytes + t.bytes > this.#capacity) {
      this.#flush();
      t.texture.destroy();
      return;
    }
    this.#freeBytes += t.bytes;
    const id = `${t.texture.width},${t.texture.height}`;
    const list = this.#free.get(id);
    if (list === undefined) this.#free.set(id, [t]);
    else list.push(t);
  }
}
