import { ArgumentError, DTypeError } from '../errors.ts';
import type { AnyTensor, DType } from '../tensor.ts';

/** One tensor that an operator takes or returns. */
export interface TensorField {
  readonly name: string;
  readonly dtypes: readonly DType[];
  /** The shape in words or index letters, such as `[..., T, ...]`. */
  readonly shape: string;
  readonly about: string;
  /**
   * Values that the operator does not take. The reference throws; a kernel cannot wait to look, it marks its results.
   * The command line refuses them before either runs.
   */
  readonly refuses?: readonly ('NaN' | 'Infinity' | '-Infinity')[];
  /** Inputs: may be left out (it then travels in the options record). Outputs: may be absent. */
  readonly optional?: boolean;
  /** A list of tensors, one or more: an array in calls, and `name.0`, `name.1`, ... where tensors go by names. */
  readonly list?: boolean;
}

/** The field that a tensor's name belongs to: its own name, or `name.3` for a list. */
export function fieldOf(fields: readonly TensorField[], name: string): TensorField | undefined {
  return fields.find((f) => (f.list ? listIndex(f.name, name) !== undefined : f.name === name));
}

/** The position in the list `list` that a name such as `grads.3` stands for. */
function listIndex(list: string, name: string): number | undefined {
  const digits = name.startsWith(`${list}.`) ? name.slice(list.length + 1) : '';
  return /^(0|[1-9]\d{0,5})$/.test(digits) ? Number(digits) : undefined;
}

/** The names of a list's tensors among `names`, in the order of the list. @throws ArgumentError when one is missing */
export function listNames(op: string, list: string, names: readonly string[]): string[] {
  const found = names.filter((n) => listIndex(list, n) !== undefined);
  const wanted = found.map((_, i) => `${list}.${i}`);
  const there = new Set(found);
  const missing = wanted.find((n) => !there.has(n));
  if (missing !== undefined)
    throw new ArgumentError(op, `the list ${list} has ${found.length} tensors, but no "${missing}"`);
  return wanted;
}

/** A field's name for messages: `grads.0, grads.1, ...` for a list. */
export function showName({ name, list }: TensorField): string {
  return list ? `${name}.0, ${name}.1, ...` : name;
}

/** One option that is not a tensor. */
export interface OptionField {
  readonly name: string;
  readonly type: 'integer' | 'number' | 'boolean' | 'string' | 'key' | 'shape';
  readonly about: string;
  /** Absent: the option is required and positional (such as `k`), or its absence means something that `about` says. */
  readonly default?: number | boolean | string;
  readonly choices?: readonly string[];
}

/**
 * What an operator promises, in data: the same for both twins. The command line, the documentation and the
 * verification read it. It holds no mathematics: that is written twice, in `src/ref` and in `src/gpu`.
 */
export interface Contract {
  /** The exported function, and the stem of every file of the operator (backward operators share the stem). */
  readonly name: string;
  readonly summary: string;
  readonly formula: string;
  /**
   * Positional parameters in order: names of required inputs, of required options, or a list of names that travel
   * together in one record (the weights of a layer). Everything else goes into the options record, which comes last.
   */
  readonly params: readonly (string | { readonly record: string; readonly of: readonly string[] })[];
  readonly inputs: readonly TensorField[];
  readonly options: readonly OptionField[];
  /** One output: the operator returns the tensor itself. Several: a disposable record under these names. */
  readonly outputs: readonly TensorField[];
  readonly accuracy: string;
  readonly edge: string;
  readonly source: string;
}

/** Any operator as a plain function. */
export type Operator = (...args: unknown[]) => unknown;

/**
 * Call an operator of either twin by names: tensors and options by the contract's names in, tensors by name out.
 * Unknown and missing names are refused here; everything else is checked by the operator's own plan.
 */
export function invoke<T extends AnyTensor>(
  operator: Operator,
  contract: Contract,
  tensors: Readonly<Record<string, T | undefined>>,
  options: Readonly<Record<string, unknown>> = {},
): Record<string, T> {
  const op = contract.name;
  const optionNames = contract.options.map((o) => o.name);
  for (const name of Object.keys(tensors)) {
    if (fieldOf(contract.inputs, name) === undefined) {
      const takes = contract.inputs.map(showName).join(', ') || 'none';
      throw new ArgumentError(op, `there is no input "${name}"; it takes ${takes}`);
    }
  }
  for (const name of Object.keys(options)) {
    if (!optionNames.includes(name)) {
      throw new ArgumentError(
        op,
        `there is no option "${name}"; it takes ${optionNames.join(', ') || 'none'}`,
      );
    }
  }
  const all: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options)) if (value !== undefined) all[name] = value;
  for (const field of contract.inputs) {
    const present = Object.keys(tensors).filter((name) => tensors[name] !== undefined);
    const names = field.list
      ? listNames(op, field.name, present)
      : present.filter((name) => name === field.name);
    if (names.length === 0) {
      if (field.optional) continue;
      throw new ArgumentError(op, `the input "${showName(field)}" is missing: ${field.about}`);
    }
    for (const name of names) {
      const { dtype } = tensors[name]!;
      if (!field.dtypes.includes(dtype)) {
        throw new DTypeError(op, `${name} has dtype ${dtype}; it takes ${field.dtypes.join(' or ')}`);
      }
    }
    all[field.name] = field.list ? names.map((name) => tensors[name]) : tensors[field.name];
  }
  const take = (name: string): unknown => {
    const value = all[name];
    if (value === undefined && optionNames.includes(name)) {
      throw new ArgumentError(op, `the option "${name}" is missing`);
    }
    delete all[name];
    return value;
  };
  const args = contract.params.map((p) => {
    if (typeof p === 'string') return take(p);
    const given = p.of.filter((name) => all[name] !== undefined);
    return Object.fromEntries(given.map((name) => [name, take(name)]));
  });
  const result = operator(...args, all);
  const [only] = contract.outputs;
  if (contract.outputs.length === 1 && only !== undefined) return { [only.name]: result as T };
  const record = result as Record<string, T | readonly T[] | undefined>;
  const named: Record<string, T> = {};
  for (const { name, list } of contract.outputs) {
    const made = record[name];
    if (made === undefined) continue;
    if (list) for (const [i, t] of (made as readonly T[]).entries()) named[`${name}.${i}`] = t;
    else named[name] = made as T;
  }
  return named;
}
