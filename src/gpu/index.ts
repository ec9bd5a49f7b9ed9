export {
  adapterVariable,
  type Choice,
  chooseAdapter,
  type Family,
  type FoundAdapter,
} from './runtime/adapters.ts';
export {
  type Binding,
  type Dispatch,
  type DispatchTime,
  Gpu,
  type OpenOptions,
  openGpu,
} from './runtime/gpu.ts';
export { GpuTensor } from './runtime/gpuTensor.ts';
export { type ArithmeticProbe, probeArithmetic, type Rounding } from './runtime/probe.ts';
export { measureRoof, type Roof } from './runtime/roof.ts';
export { GpuTexture } from './runtime/texturePool.ts';
export { linkWgsl, readWgsl } from './runtime/wgsl.ts';
