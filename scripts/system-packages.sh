#!/usr/bin/env bash
# Installs the Debian programs that the named purpose wants, where this user may (root with apt-get); otherwise says
# which are missing and what is skipped without them. Never fails: the tests that need a program skip with a reason.
set -u
purpose=${1:-test}
declare -A program=([orthanc]=Orthanc [orthanc-dicomweb]= [dcmtk]=storescu [dicom3tools]=dciodvfy [dcm2niix]=dcm2niix [postgresql]=psql [chromium]=chromium [bart]=bart [ismrmrd-tools]=ismrmrd_info)
case "$purpose" in
  demo) wanted=(orthanc orthanc-dicomweb dcmtk) ;;
  check-demo) wanted=(orthanc orthanc-dicomweb dcmtk chromium) ;;
  *) wanted=(orthanc orthanc-dicomweb dcmtk dicom3tools dcm2niix postgresql chromium bart ismrmrd-tools) ;;
esac
missing=()
for package in "${wanted[@]}"; do
  name=${program[$package]}
  if [ -z "$name" ]; then
    [ -e /usr/share/orthanc/plugins/libOrthancDicomWeb.so ] || ls /usr/share/orthanc/plugins/libOrthancDicomWeb.so* >/dev/null 2>&1 || missing+=("$package")
  elif ! PATH="$PATH:/usr/sbin" command -v "$name" >/dev/null 2>&1; then
    missing+=("$package")
  fi
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "Installing Debian packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  if { apt-get update -q && apt-get install -y -q --no-install-recommends "${missing[@]}"; } >/tmp/coread-apt.log 2>&1; then
    exit 0
  fi
  echo "apt-get could not install them (see /tmp/coread-apt.log)."
fi
echo "Not installed: ${missing[*]}. What needs them is left out; to have it: sudo apt-get install ${missing[*]}"
exit 0
