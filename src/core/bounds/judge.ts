import type { Verdict } from '../bounds.ts';
import type { Key } from '../key.ts';
import type { Shape, Tensor } from '../tensor.ts';

/** One call of an operator with what one twin wanted and the other got, tensors by the contract's names. */
export interface Call {
  readonly inputs: Readonly<Record<string, Tensor | undefined>>;
  readonly options: Readonly<Record<string, unknown>>;
  readonly want: Readonly<Record<string, Tensor>>;
  readonly got: Readonly<Record<string, Tensor>>;
  /**
   * The inputs are random and do not repeat, so that roundings are independent: then the whole tensor is also tested for
   * bias and variance. @defaultValue false
   */
  readonly independent?: boolean;
  /** The reference's gumbelNoise, for judges of draws: only who knows the noise knows which draws are close. */
  readonly noise?: (key: Key, shape: Shape) => Tensor;
}

/** Compare the outputs of a call, each by the bound that follows from its inputs. */
export type Judge = (call: Call) => Record<string, Verdict>;
