import type { Backend } from '../core/backend.ts';
import { type Tensor, zeros } from '../core/tensor.ts';
import * as ops from './index.ts';

/** The reference twin as a backend for models: host tensors, and nothing to wait for. */
export const refBackend: Backend<Tensor> = {
  ops,
  upload: (t) => t,
  zeros: (dtype, shape) => zeros(shape, dtype),
  read: async (t) => t,
};
