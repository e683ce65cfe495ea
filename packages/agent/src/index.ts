export type {
  WorkloadBackend,
  WorkloadIdentity,
  WorkloadJwtSvid,
  WorkloadSnapshot,
} from './workload-backend.ts'
