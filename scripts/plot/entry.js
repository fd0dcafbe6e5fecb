// What pkg/staticpage/assets/page.js uses; all else is left out of the bundle.
export { areaY, axisX, axisY, barX, barY, dot, gridX, gridY, lineY, plot, rectY, ruleX, ruleY, text, tickX } from "@observablehq/plot";
