import { ArgumentError, FormatError } from '../core/errors.ts';
import { openBin } from '../core/formats/fbin.ts';
import { openFile } from '../core/formats/files.ts';
import type { Tensor } from '../core/tensor.ts';
import type { EngineIndex } from './engines/engineIndex.ts';

/** A table whose rows can be had by their numbers, wherever it lies: memory, a file, or whatever else has these three members. */
export interface RowStore {
  readonly size: number;
  readonly dim: number;
  /** f32 [ids.length, dim], in the order of the ids. @throws ArgumentError for an id that is not there */
  rows(ids: Int32Array): Promise<Float32Array>;
}

const who = 'rows';

function requireIds(name: string, ids: Int32Array, size: number): void {
  const bad = ids.findIndex((id) => id < 0 || id >= size);
  if (bad >= 0) throw new ArgumentError(who, `${name} has no row ${ids[bad]}; it has ${size}`);
}

/** A table f32 [N, d] in memory. @throws ArgumentError for another shape or type */
export function memoryRows(table: Tensor): RowStore {
  const [size, dim, more] = table.shape;
  if (table.dtype !== 'f32' || size === undefined || dim === undefined || more !== undefined)
    throw new ArgumentError(
      who,
      `the table is ${table.dtype} [${table.shape.join(', ')}]; it must be f32 [N, d]`,
    );
  return {
    size,
    dim,
    async rows(ids) {
      requireIds('the table', ids, size);
      const out = new Float32Array(ids.length * dim);
      for (const [i, id] of ids.entries())
        out.set(table.data.subarray(id * dim, (id + 1) * dim) as Float32Array, i * dim);
      return out;
    },
  };
}

/**
 * A table in a .fbin file: only the rows that are asked for are read, in the order in which they lie there.
 * @throws FileError, FormatError; a row that is asked for and holds NaN or Infinity is a FormatError
 */
export function fileRows(path: string): RowStore & Disposable {
  const file = openFile(who, path);
  let bin: ReturnType<typeof openBin>;
  try {
    bin = openBin(file, 'fbin');
  } catch (error) {
    file[Symbol.dispose]();
    throw error;
  }
  const { rows: size, columns: dim } = bin;
  return {
    size,
    dim,
    async rows(ids) {
      requireIds(path, ids, size);
      const out = new Float32Array(ids.length * dim);
      const order = Int32Array.from(ids, (_, i) => i).sort((a, b) => ids[a]! - ids[b]!);
      for (const i of order) {
        const row = bin.read(ids[i]!, ids[i]! + 1).data as Float32Array;
        const bad = row.findIndex((v) => !Number.isFinite(v));
        if (bad >= 0) throw new FormatError(who, `${path}: row ${ids[i]} holds ${row[bad]}`);
        out.set(row, i * dim);
      }
      return out;
    },
    [Symbol.dispose]: () => file[Symbol.dispose](),
  };
}

/** A table that an engine holds as a vocabulary: one query for the rows that are asked for. The index stays the caller's. */
export function engineRows(index: EngineIndex): RowStore {
  return { size: index.size, dim: index.dim, rows: (ids) => index.embeddings(ids) };
}
