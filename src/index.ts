/**
 * Operators for dynamic sub-vocabularies, each written twice: as a plain reference (`subvocab/ref`) and as WebGPU kernels
 * (`gpu.ops` of an open GPU).
 */

export { Tape, Var } from './core/autograd.ts';
export type { Backend } from './core/backend.ts';
export * from './core/errors.ts';
export { type Contract, contracts, invoke, type Ops } from './core/ops/index.ts';
export {
  type AnyTensor,
  type DType,
  type Outputs,
  outputs,
  type Shape,
  Tensor,
  tensor,
  zeros,
} from './core/tensor.ts';
export { Gpu, GpuTensor, type OpenOptions, openGpu } from './gpu/index.ts';
export { refBackend } from './ref/backend.ts';
