import type { Backend } from './backend.ts';
import { ArgumentError } from './errors.ts';
import type { Operator } from './ops/contract.ts';
import { type Contract, contracts, invoke, type Ops } from './ops/index.ts';
import { type AnyTensor, type DType, outputs, type Shape, tensor } from './tensor.ts';

/**
 * A tensor on a tape. It passes for a tensor wherever a model is written over `Ops<T>`, so the same forward code runs
 * with and without gradients. Disposing it does nothing: the tape owns what it recorded, since the backward needs it.
 */
export class Var<T extends AnyTensor> implements AnyTensor {
  readonly value: T;
  readonly dtype: DType;
  readonly shape: Shape;
  readonly size: number;
  /** False for data and for whatever depends on data alone: no gradient is worked out for it. */
  readonly differentiable: boolean;

  constructor(value: T, differentiable: boolean) {
    this.value = value;
    this.dtype = value.dtype;
    this.shape = value.shape;
    this.size = value.size;
    this.differentiable = differentiable;
  }

  [Symbol.dispose](): void {}
}

/** Operators whose backward bears another name, and what it calls the gradient of their output. */
const elsewhere: Readonly<Record<string, { readonly backward: string; readonly gradient: string }>> = {
  gumbelTopKRelaxed: { backward: 'gumbelTopKBackward', gradient: 'dKHot' },
};

/** One recorded call. */
interface Node<T extends AnyTensor> {
  readonly contract: Contract;
  readonly backward: Contract | undefined;
  readonly inputs: Readonly<Record<string, Var<T>>>;
  readonly options: Readonly<Record<string, unknown>>;
  readonly outputs: Readonly<Record<string, Var<T>>>;
}

/**
 * Reverse-mode differentiation over either twin.
 *
 * `tape.ops` has every operator and records each call. `tape.backward(loss)` walks the calls in reverse and runs the
 * backward operator of each. How to call it follows from the contracts: an input of `XBackward` named after an output
 * of X with a `d` in front (`dValues` for `values`) takes that output's gradient, one named like an input or output of X
 * takes that tensor, and options of the same name are passed on; its output `dx` is the gradient of the input `x`.
 *
 * The tape owns everything that it made until it is disposed. Gradients that it returns belong to the caller.
 */
export class Tape<T extends AnyTensor> implements Disposable {
  readonly ops: Ops<Var<T>>;
  readonly #backend: Backend<T>;
  readonly #nodes: Node<T>[] = [];
  readonly #owned = new Set<T>();

  constructor(backend: Backend<T>) {
    this.#backend = backend;
    const table = contracts.map((contract) => [contract.name, this.#recorder(contract)]);
    this.ops = Object.fromEntries(table) as Ops<Var<T>>;
  }

  /** A parameter: a gradient is worked out for it. The tensor stays the caller's. */
  parameter(value: T): Var<T> {
    return new Var(value, true);
  }

  /** Data: no gradient. The tensor stays the caller's. */
  constant(value: T): Var<T> {
    return new Var(value, false);
  }

  /** Hand a tensor over: it is disposed with the tape. */
  adopt(value: T): void {
    this.#owned.add(value);
  }

  /**
   * Gradients of a scalar with respect to parameters, in their order. One that the scalar does not depend on gets zeros.
   * @throws ArgumentError if the loss is not a scalar
   */
  backward(loss: Var<T>, parameters: readonly Var<T>[]): T[] {
    if (loss.size !== 1) {
      throw new ArgumentError('backward', `the loss has ${loss.size} elements; it must have one`);
    }
    using one = this.#backend.upload(tensor(loss.shape, [1], loss.dtype));
    return this.pullback(loss, parameters, one);
  }

  /**
   * The vector-Jacobian product of any result: the gradients of sum dy * y with respect to parameters, in their order.
   * @param dy the gradient of y; it stays the caller's
   */
  pullback(y: Var<T>, parameters: readonly Var<T>[], dy: T): T[] {
    return this.pullbackAll([[y, dy]], parameters);
  }

  /** The same for the sum over several results, in one walk. @param results pairs of y and dy, each y once */
  pullbackAll(results: readonly (readonly [y: Var<T>, dy: T])[], parameters: readonly Var<T>[]): T[] {
    const gradients = new Map<Var<T>, T>(results);
    for (let i = this.#nodes.length - 1; i >= 0; i--) this.#reverse(this.#nodes[i]!, gradients);
    const result = parameters.map((p) => gradients.get(p) ?? this.#backend.zeros(p.dtype, p.shape));
    for (const t of result) this.#owned.delete(t);
    return result;
  }

  /** Dispose everything that was recorded and not handed out. */
  [Symbol.dispose](): void {
    for (const t of this.#owned) t[Symbol.dispose]();
    this.#owned.clear();
    this.#nodes.length = 0;
  }

  /** The operator that runs, owns its results and remembers the call. */
  #recorder(contract: Contract): Operator {
    const run = (this.#backend.ops as unknown as Record<string, Operator>)[contract.name];
    const name = elsewhere[contract.name]?.backward ?? `${contract.name}Backward`;
    const backward = contracts.find((c) => c.name === name);
    return (...args) => {
      if (run === undefined) throw new ArgumentError('tape', `this backend has no operator ${contract.name}`);
      const { tensors, options } = this.#named(contract, args);
      const values = Object.fromEntries(Object.entries(tensors).map(([name, v]) => [name, v.value]));
      const made = invoke(run, contract, values, options);
      const differentiable = backward !== undefined && Object.values(tensors).some((v) => v.differentiable);
      const results: Record<string, Var<T>> = {};
      for (const { name } of contract.outputs) {
        const t = made[name];
        if (t === undefined) continue;
        this.#owned.add(t);
        results[name] = new Var(t, differentiable && (t.dtype === 'f32' || t.dtype === 'f64'));
      }
      if (differentiable)
        this.#nodes.push({ contract, backward, inputs: tensors, options, outputs: results });
      const [only] = contract.outputs;
      return contract.outputs.length === 1 && only !== undefined ? results[only.name] : outputs(results);
    };
  }

  /** Positional arguments and the options record, taken apart by the contract into tensors and options. */
  #named(
    contract: Contract,
    args: readonly unknown[],
  ): { tensors: Record<string, Var<T>>; options: Record<string, unknown> } {
    const all: Record<string, unknown> = {};
    contract.params.forEach((p, i) => {
      if (typeof p === 'string') all[p] = args[i];
      else Object.assign(all, args[i]);
    });
    Object.assign(all, args[contract.params.length]);
    const tensors: Record<string, Var<T>> = {};
    const options: Record<string, unknown> = {};
    for (const [name, value] of Object.entries(all)) {
      if (value === undefined) continue;
      if (value instanceof Var) tensors[name] = value;
      else if (contract.inputs.some((i) => i.name === name)) {
        throw new ArgumentError(
          'tape',
          `${contract.name}: ${name} is not on the tape; use tape.parameter or tape.constant`,
        );
      } else options[name] = value;
    }
    return { tensors, options };
  }

  /** Run the backward of one call and add what it gives to the gradients of the inputs. */
  #reverse(node: Node<T>, gradients: Map<Var<T>, T>): void {
    const { contract, backward, inputs, options, outputs: made } = node;
    if (backward === undefined || !Object.values(made).some((v) => gradients.has(v))) return;
    const given: Record<string, T> = {};
    const passed: Record<string, unknown> = {};
    const temporary: T[] = [];
    for (const field of backward.inputs) {
      const output = Object.keys(made).find(
        (name) => isGradientOf(field.name, name) || elsewhere[contract.name]?.gradient === field.name,
      );
      if (output !== undefined) {
        const gradient = gradients.get(made[output]!);
        if (gradient !== undefined) given[field.name] = gradient;
        else if (!field.optional) {
          const zero = this.#backend.zeros(made[output]!.dtype, made[output]!.shape);
          temporary.push(zero);
          given[field.name] = zero;
        }
        continue;
      }
      const saved = made[field.name] ?? inputs[field.name];
      if (saved !== undefined) given[field.name] = saved.value;
      else if (!field.optional) {
        throw new ArgumentError(
          'tape',
          `${backward.name} needs ${field.name}, which ${contract.name} neither takes nor returns`,
        );
      }
    }
    for (const { name } of backward.options) if (options[name] !== undefined) passed[name] = options[name];
    const run = (this.#backend.ops as unknown as Record<string, Operator>)[backward.name]!;
    const result = invoke(run, backward, given, passed);
    for (const t of temporary) t[Symbol.dispose]();
    // What was the gradient of the outputs is used up.
    for (const v of Object.values(made)) this.#drop(gradients, v);
    for (const [name, gradient] of Object.entries(result)) {
      const input = Object.keys(inputs).find((i) => isGradientOf(name, i));
      const target = input === undefined ? undefined : inputs[input];
      if (target === undefined || !target.differentiable) gradient[Symbol.dispose]();
      else this.#accumulate(gradients, target, gradient);
    }
  }

  #accumulate(gradients: Map<Var<T>, T>, target: Var<T>, gradient: T): void {
    const before = gradients.get(target);
    this.#owned.add(gradient);
    if (before === undefined) {
      gradients.set(target, gradient);
      return;
    }
    const sum = this.#backend.ops.add(before, gradient);
    this.#owned.add(sum);
    for (const t of [before, gradient]) if (this.#owned.delete(t)) t[Symbol.dispose]();
    gradients.set(target, sum);
  }

  #drop(gradients: Map<Var<T>, T>, v: Var<T>): void {
    const t = gradients.get(v);
    if (t !== undefined && this.#owned.delete(t)) t[Symbol.dispose]();
    gradients.delete(v);
  }
}

/** `dValues` is the gradient of `values`, `dx` of `x`, `dw1` of `w1`. */
function isGradientOf(gradient: string, name: string): boolean {
  return gradient === `d${name}` || gradient === `d${name[0]?.toUpperCase()}${name.slice(1)}`;
}
