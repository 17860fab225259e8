/// <reference types="node" preserve="true" />
export * from "./device/index.js";
export * from "./store/index.js";
