export * from "./device/index.js";
export * from "./store/index.js";
