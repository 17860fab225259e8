export { hangReport } from "./hang-report.js";
export { type Hang, type HangLimits, HangRule, hangLimits } from "./hang-rule.js";
