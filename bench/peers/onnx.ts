/** ONNX models for the works, written by hand: protobuf needs no library when only messages are written. */
import type { Work } from '../support/work.ts';

type Bytes = Uint8Array<ArrayBuffer>;

function join(...parts: readonly (Bytes | readonly Bytes[])[]): Bytes {
  const flat = parts.flat() as Bytes[];
  const out = new Uint8Array(flat.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of flat) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}

function varint(value: number | bigint): Bytes {
  let v = BigInt.asUintN(64, BigInt(value));
  const out: number[] = [];
  do {
    out.push(Number(v & 127n) | (v > 127n ? 128 : 0));
    v >>= 7n;
  } while (v > 0n);
  return Uint8Array.from(out);
}

/** Field `id` as an integer. */
const int = (id: number, v: number | bigint): Bytes => join(varint(id << 3), varint(v));
/** Field `id` as bytes: a string, a nested message, or raw data. */
function field(id: number, v: string | Bytes): Bytes {
  const bytes = typeof v === 'string' ? Uint8Array.from(new TextEncoder().encode(v)) : v;
  return join(varint((id << 3) | 2), varint(bytes.length), bytes);
}

const elementType = { f32: 1, i64: 7 } as const;

/** NodeProto; every attribute used here is an integer or a list of integers. */
function node(
  op: string,
  inputs: string[],
  outputs: string[],
  attributes: Record<string, number> = {},
): Bytes {
  return join(
    inputs.map((x) => field(1, x)),
    outputs.map((x) => field(2, x)),
    field(4, op),
    Object.entries(attributes).map(([name, v]) => field(5, join(field(1, name), int(3, v), int(20, 2)))),
  );
}

/** ValueInfoProto of a dense tensor. */
function value(name: string, type: keyof typeof elementType, dims: readonly number[]): Bytes {
  const shape = join(dims.map((d) => field(1, int(1, d))));
  return join(field(1, name), field(2, field(1, join(int(1, elementType[type]), field(2, shape)))));
}

/** TensorProto with its data inside. */
function constant(name: string, dims: readonly number[], data: Float32Array | BigInt64Array): Bytes {
  const raw = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  const type = data instanceof Float32Array ? elementType.f32 : elementType.i64;
  return join(
    dims.map((d) => int(1, d)),
    int(2, type),
    field(8, name),
    field(9, raw),
  );
}

const integers = (name: string, ...v: number[]): Bytes =>
  constant(name, [v.length], BigInt64Array.from(v.map(BigInt)));

function model(nodes: Bytes[], inputs: Bytes[], outputs: Bytes[], constants: Bytes[] = []): Bytes {
  const graph = join(
    nodes.map((x) => field(1, x)),
    field(2, 'g'),
    constants.map((x) => field(5, x)),
    inputs.map((x) => field(11, x)),
    outputs.map((x) => field(12, x)),
  );
  return join(
    int(1, 8),
    field(2, 'subvocab-bench'),
    field(8, join(field(1, ''), int(2, 17))),
    field(7, graph),
  );
}

/** A model, its inputs, and the names of its outputs in the order of `Result`. */
export interface OnnxWork {
  readonly model: Bytes;
  readonly inputs: Record<string, readonly [Float32Array, readonly number[]]>;
  readonly outputs: readonly string[];
  readonly note?: string;
}

/** The work as ONNX, or `null` where the operator set has no operator for it. */
export function onnxWork(w: Work): OnnxWork | null {
  switch (w.kind) {
    case 'matmul':
      return {
        model: model(
          [node('MatMul', ['a', 'b'], ['c'])],
          [value('a', 'f32', [w.m, w.k]), value('b', 'f32', [w.k, w.n])],
          [value('c', 'f32', [w.m, w.n])],
        ),
        inputs: { a: [w.a, [w.m, w.k]], b: [w.b, [w.k, w.n]] },
        outputs: ['c'],
      };
    case 'gatedFfn': {
      const { rows, width, hidden } = w;
      return {
        model: model(
          [
            node('MatMul', ['x', 'w1'], ['u0']),
            node('Add', ['u0', 'b1'], ['u']),
            node('MatMul', ['x', 'wg'], ['g0']),
            node('Add', ['g0', 'bg'], ['g1']),
            node('Relu', ['g1'], ['g']),
            node('Mul', ['u', 'g'], ['h']),
            node('MatMul', ['h', 'w2'], ['y0']),
            node('Add', ['y0', 'b2'], ['y']),
          ],
          [value('x', 'f32', [rows, width])],
          [value('y', 'f32', [rows, width])],
          [
            constant('w1', [width, hidden], w.w1),
            constant('b1', [hidden], w.b1),
            constant('wg', [width, hidden], w.wg),
            constant('bg', [hidden], w.bg),
            constant('w2', [hidden, width], w.w2),
            constant('b2', [width], w.b2),
          ],
        ),
        inputs: { x: [w.x, [rows, width]] },
        outputs: ['y'],
      };
    }
    case 'cumsum': {
      const shape = [w.outer, w.length, w.inner];
      return {
        model: model(
          [node('CumSum', ['x', 'axis'], ['y'])],
          [value('x', 'f32', shape)],
          [value('y', 'f32', shape)],
          [constant('axis', [], BigInt64Array.of(1n))],
        ),
        inputs: { x: [w.x, shape] },
        outputs: ['y'],
      };
    }
    case 'cummax': {
      // ONNX has no running maximum: log2(length) steps of y[t] = max(y[t], y[t - step]).
      const shape = [w.outer, w.length, w.inner];
      const nodes: Bytes[] = [];
      const constants = [integers('axis', 1), integers('zero', 0), integers('end', w.length)];
      let from = 'x';
      for (let step = 1; step < w.length; step *= 2) {
        const to = step * 2 >= w.length ? 'y' : `y${step}`;
        constants.push(integers(`s${step}`, step), integers(`e${step}`, w.length - step));
        nodes.push(
          node('Slice', [from, 'zero', `s${step}`, 'axis'], [`head${step}`]),
          node('Slice', [from, `s${step}`, 'end', 'axis'], [`late${step}`]),
          node('Slice', [from, 'zero', `e${step}`, 'axis'], [`early${step}`]),
          node('Max', [`late${step}`, `early${step}`], [`max${step}`]),
          node('Concat', [`head${step}`, `max${step}`], [to], { axis: 1 }),
        );
        from = to;
      }
      return {
        model: model(nodes, [value('x', 'f32', shape)], [value('y', 'f32', shape)], constants),
        inputs: { x: [w.x, shape] },
        outputs: ['y'],
        note: 'log2(length) steps of Slice, Max, Concat; no indices',
      };
    }
    case 'topK': {
      const { rows, n, k } = w;
      return {
        model: model(
          [node('TopK', ['x', 'k'], ['values', 'indices'], { axis: 1, largest: 1, sorted: 1 })],
          [value('x', 'f32', [rows, n])],
          [value('values', 'f32', [rows, k]), value('indices', 'i64', [rows, k])],
          [integers('k', k)],
        ),
        inputs: { x: [w.x, [rows, n]] },
        outputs: ['values', 'indices'],
      };
    }
    case 'gumbelTopK': {
      const { n, k, noise } = w;
      if (noise === undefined) return null;
      return {
        model: model(
          [
            node('Add', ['logits', 'noise'], ['x']),
            node('TopK', ['x', 'k'], ['values', 'indices'], { axis: 0, largest: 1, sorted: 1 }),
          ],
          [value('logits', 'f32', [n]), value('noise', 'f32', [n])],
          [value('values', 'f32', [k]), value('indices', 'i64', [k])],
          [integers('k', k)],
        ),
        inputs: { logits: [w.logits, [n]], noise: [noise, [n]] },
        outputs: ['values', 'indices'],
      };
    }
    case 'flatSearch': {
      const { queries, count, dim, k } = w;
      return {
        model: model(
          [
            node('MatMul', ['q', 'base'], ['x']),
            node('TopK', ['x', 'k'], ['values', 'indices'], { axis: 1, largest: 1, sorted: 1 }),
          ],
          [value('q', 'f32', [queries, dim])],
          [value('values', 'f32', [queries, k]), value('indices', 'i64', [queries, k])],
          [constant('base', [dim, count], w.baseT), integers('k', k)],
        ),
        inputs: { q: [w.q, [queries, dim]] },
        outputs: ['values', 'indices'],
      };
    }
    case 'nearest': {
      const { n, dim, k } = w;
      return {
        model: model(
          [
            node('MatMul', ['x', 'c'], ['products']),
            node('Sub', ['products', 'half'], ['scores']),
            node('ArgMax', ['scores'], ['chosen'], { axis: 1, keepdims: 0 }),
          ],
          [value('x', 'f32', [n, dim])],
          [value('chosen', 'i64', [n])],
          [constant('c', [dim, k], w.cT), constant('half', [k], w.half)],
        ),
        inputs: { x: [w.x, [n, dim]] },
        outputs: ['chosen'],
      };
    }
    case 'randomBits':
    case 'gumbelNoise':
    case 'samOutTrain':
    case 'samOutStep':
      return null;
  }
}
