export { cummax, cummaxBackward } from './cummax.ts';
