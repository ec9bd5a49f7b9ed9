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
  const inputNames = contract.inputs.map((i) => i.name);
  for (const name of Object.keys(tensors)) {
    if (!inputNames.includes(name)) {
      throw new ArgumentError(op, `there is no input "${name}"; it takes ${inputNames.join(', ') || 'none'}`);
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
  for (const field of contract.inputs) {
    const t = tensors[field.name];
    if (t === undefined) {
      if (!field.optional)
        throw new ArgumentError(op, `the input "${field.name}" is missing: ${field.about}`);
    } else if (!field.dtypes.includes(t.dtype)) {
      throw new DTypeError(op, `${field.name} has dtype ${t.dtype}; it takes ${field.dtypes.join(' or ')}`);
    }
  }
  const all: Record<string, unknown> = {};
  for (const [name, value] of [...Object.entries(options), ...Object.entries(tensors)]) {
    if (value !== undefined) all[name] = value;
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
  const record = result as Record<string, T | undefined>;
  const named: Record<string, T> = {};
  for (const { name } of contract.outputs) if (record[name] !== undefined) named[name] = record[name];
  return named;
}
