export { cummax, cummaxBackward } from './cummax.ts';
export { gumbelNoise } from './gumbelNoise.ts';
export { randomBits } from './randomBits.ts';
