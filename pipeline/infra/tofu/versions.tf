# Runs under OpenTofu and Terraform alike. State is local unless a file `backend.tf` says otherwise
# (see the two `backend.*.tf.example` files).
terraform {
  required_version = ">= 1.6.0"

  required_providers {
    openstack = {
      source  = "terraform-provider-openstack/openstack"
      version = "~> 3.4"
    }
  }
}

# Credentials come from `clouds.yaml` and from nowhere else: none of them reaches a variable, a plan or the state.
provider "openstack" {
  cloud  = var.cloud
  region = var.region
}
