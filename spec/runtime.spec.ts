import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { DeviceLostError, DisposedError, GpuError } from '../src/core/errors.ts';
import { tensor, zeros } from '../src/core/tensor.ts';
import { openGpu } from '../src/gpu/index.ts';
import { checkKnownAnswer } from '../src/gpu/runtime/gpu.ts';
import { describeDevice } from './support/device.ts';

// Plan: what every operator relies on. Lifetimes and leaks, buffers that are reused, batches and their errors, windows,
// the known answer, the choice of adapter, the embedded driver's cache, and a process that ends by itself.

describeDevice('the runtime', (gpu) => {
  test('a tensor survives the trip, bit for bit, in every dtype and size', async () => {
    for (const n of [0, 1, 3, 64, 65_537]) {
      const bits = Uint32Array.from({ length: n }, (_, i) => Math.imul(i + 1, 2654435761));
      for (const t of [
        tensor([n], bits),
        tensor([n], new Int32Array(bits.buffer)),
        tensor([n, 1], new Float32Array(bits.buffer)),
      ]) {
        using g = gpu().upload(t);
        const back = await g.read();
        expect([back.dtype, back.shape]).toEqual([t.dtype, t.shape]);
        expect(new Uint32Array(back.data.buffer)).toEqual(bits);
      }
    }
  });

  test('f64 does not exist there, and the message says so', () => {
    expect(() => gpu().upload(zeros([2], 'f64'))).toThrow('upload: a tensor of shape [2] has dtype f64');
  });

  test('disposed tensors are refused, and tensors of another GPU', async () => {
    const x = gpu().upload(tensor([1], [1]));
    x[Symbol.dispose]();
    expect(() => gpu().ops.cummax(x)).toThrow(DisposedError);
    await expect(x.read()).rejects.toThrow(DisposedError);
    await using other = await openGpu();
    using y = other.upload(tensor([1], [1]));
    expect(() => gpu().ops.cummax(y)).toThrow('belongs to another GPU');
  });

  test('an operator that throws in the middle leaves nothing behind', () => {
    const before = gpu().liveTensors;
    expect(() =>
      gpu().run('broken', [], () => {
        gpu().empty('f32', [10]);
        throw new Error('in the middle');
      }),
    ).toThrow('in the middle');
    expect(gpu().liveTensors).toBe(before);
  });

  test('in steady state no buffer is created', async () => {
    using x = gpu().upload(zeros([100, 7]));
    const step = async (): Promise<void> => {
      using y = gpu().ops.cummax(x);
      using z = gpu().ops.cummaxBackward(y.values, y.indices);
      await z.dx.read();
    };
    await step();
    const { created } = gpu().pool;
    for (let i = 0; i < 20; i++) await step();
    expect(gpu().pool.created).toBe(created);
  });

  test('a recycled buffer does not disturb work that is still waiting', async () => {
    const a = gpu().upload(tensor([4], [1, 2, 3, 4]));
    using y = gpu().ops.cummax(a);
    a[Symbol.dispose]();
    using b = gpu().upload(tensor([4], [9, 9, 9, 9]));
    expect([...(await y.values.read()).data]).toEqual([1, 2, 3, 4]);
    expect([...(await b.read()).data]).toEqual([9, 9, 9, 9]);
  });

  test('more dispatches than one batch holds', async () => {
    let x = gpu().upload(tensor([3], [3, 1, 2]));
    for (let i = 0; i < 700; i++) {
      const { values, indices, carryOut } = gpu().ops.cummax(x);
      for (const t of [x, indices, carryOut]) t[Symbol.dispose]();
      x = values;
    }
    expect([...(await x.read()).data]).toEqual([3, 3, 3]);
    x[Symbol.dispose]();
  });

  test('a kernel that does not compile rejects the reading of its outputs, and of nothing else', async () => {
    using x = gpu().upload(tensor([2], [1, 2]));
    using before = gpu().ops.cummax(x);
    gpu().flush();
    {
      using _broken = gpu().override('cummax.wgsl', 'fn cummax( {');
      using after = gpu().ops.cummax(x);
      using derived = gpu().ops.cummax(after.values);
      await expect(after.values.read()).rejects.toThrow(GpuError);
      await expect(derived.values.read()).rejects.toThrow(GpuError);
    }
    expect([...(await before.values.read()).data]).toEqual([1, 2]);
    await expect(gpu().idle()).rejects.toThrow(GpuError);
    await gpu().idle();
  });

  test('a tensor larger than any buffer is refused with the limit', () => {
    expect(() => gpu().empty('f32', [2 ** 40])).toThrow(
      /needs \d+ bytes, and a buffer of this adapter holds \d+/,
    );
  });

  test('a wrong answer to the known question is noticed', async () => {
    using _wrong = gpu().override('lib/knownAnswer.wgsl', 'not a shader');
    await expect(checkKnownAnswer(gpu())).rejects.toThrow();
    await gpu()
      .idle()
      .catch(() => {});
  });

  test('a lost device is told as what it is', async () => {
    await using own = await openGpu();
    using x = own.upload(tensor([2], [1, 2]));
    own.loseForTest('pulled out');
    expect(() => own.ops.cummax(x)).toThrow(DeviceLostError);
    await expect(x.read()).rejects.toThrow(DeviceLostError);
  });

  test('dispatches can be timed', async () => {
    if (!gpu().device.features.has('timestamp-query')) return;
    using x = gpu().upload(zeros([1000]));
    const { result, times } = await gpu().profile(() => gpu().ops.cummax(x));
    result[Symbol.dispose]();
    expect(times.length).toBeGreaterThan(0);
    expect(times.every((t) => t.ns >= 0)).toBe(true);
  });
});

describe('choosing an adapter', () => {
  test('one that does not exist lists those that do', async () => {
    await expect(openGpu({ adapter: 'no such thing' })).rejects.toThrow(
      /no adapter's name contains "no such thing"; there are ".+"/,
    );
  });

  test('the Null backend, which does nothing, fails the known question', async () => {
    const code = `
      import { create } from 'webgpu';
      import { Gpu, checkKnownAnswer } from './src/gpu/runtime/gpu.ts';
      const instance = create(['backend=null']);
      const adapter = await instance.requestAdapter();
      const device = await adapter.requestDevice();
      const chosen = { name: 'null', backend: 'null', software: true };
      const gpu = new Gpu(instance, adapter, device, { adapters: [chosen], chosen, reason: '', notes: [] }, {});
      await checkKnownAnswer(gpu).then(() => console.log('PASSED'), (e) => console.log('REFUSED', e.message));
      await gpu[Symbol.asyncDispose]();`;
    const run = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
      encoding: 'utf8',
      cwd: join(import.meta.dirname, '..'),
    });
    expect(run.stdout, run.stderr).toContain('REFUSED');
  });

  test('a program that opens a GPU ends by itself', () => {
    const code = `
      import { openGpu, tensor } from './src/index.ts';
      await using gpu = await openGpu();
      using x = gpu.upload(tensor([2], [1, 2]));
      using y = gpu.ops.cummax(x);
      console.log((await y.values.read()).data.join());`;
    const run = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
      encoding: 'utf8',
      cwd: join(import.meta.dirname, '..'),
      timeout: 30_000,
    });
    expect([run.status, run.stdout.trim()], run.stderr).toEqual([0, '1,2']);
  });
});

describe.skipIf(process.platform !== 'linux' || process.arch !== 'x64')('the embedded driver', () => {
  const find = `
    import { embeddedDriver } from './src/gpu/runtime/embedded.ts';
    console.log(JSON.stringify(embeddedDriver((r) => console.error(r)) ?? null));`;
  const run = (cache: string): { icd: string; loader: string } | null => {
    const child = spawnSync(process.execPath, ['--input-type=module', '-e', find], {
      encoding: 'utf8',
      cwd: join(import.meta.dirname, '..'),
      env: { ...process.env, XDG_CACHE_HOME: cache },
    });
    expect(child.status, child.stderr).toBe(0);
    return JSON.parse(child.stdout);
  };

  test('is unpacked once, and again when a file was damaged', () => {
    const cache = mkdtempSync(join(tmpdir(), 'subvocab-cache-'));
    try {
      const first = run(cache);
      const size = readFileSync(first!.loader).length;
      truncateSync(first!.loader, 100);
      const second = run(cache);
      expect(second).toEqual(first);
      expect(readFileSync(second!.loader).length).toBe(size);
      expect(readdirSync(join(cache, 'subvocab')).filter((f) => f.startsWith('.'))).toEqual([]);
    } finally {
      rmSync(cache, { recursive: true, force: true });
    }
  });
});
