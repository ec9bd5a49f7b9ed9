export { adamW } from './adamW.ts';
export { add, addBackward } from './add.ts';
export { cummax, cummaxBackward } from './cummax.ts';
export { gradientClip, gradientClipFactor } from './gradientClip.ts';
export { gumbelNoise } from './gumbelNoise.ts';
export { lerp, lerpBackward } from './lerp.ts';
export { maxState, maxStateBackward } from './maxState.ts';
export { randomBits } from './randomBits.ts';
export { topK, topKBackward } from './topK.ts';
