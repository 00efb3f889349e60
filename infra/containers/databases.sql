-- The image creates MLflow's database when it starts; this adds Prefect's.
CREATE DATABASE factorgrid_prefect;
